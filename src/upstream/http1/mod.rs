//! A connection to the vendor in HTTP/1.1, which does one exchange after another.
//!
//! Written by hand on `httparse`, because a proxy's exchange is less than a client is made for:
//! the request is there whole, the answer is wanted whole, and whoever asks waits for it. hyper's
//! client hands both through channels to a task of its own. That took a fifth of the gateway's own
//! instructions for a request; this takes a tenth of those that are left (`tests/bench/README.md`).
//!
//! It promises to write a request once, to read nothing as an answer that has two readings
//! (`head`), and that no byte of one exchange is taken for one of the next. An exchange that is
//! dropped, or fails, leaves a connection that must be dropped too.

mod answer;
mod chunks;
mod head;

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, BufMut, BytesMut};
use http::{HeaderValue, header::HOST};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    task::unconstrained,
    time::Instant,
};

use self::answer::Reader;
use super::{Reply, UpstreamError, UpstreamRequest, connection::Failure};
use crate::{
    model::{Alarm, Deadline},
    net::Stream,
};

/// What is asked of a connection at once; enough for the usual answer.
const READ: usize = 4 * 1024;
/// A buffer that a message has made longer than this is given back.
const KEEP: usize = 4 * READ;

/// A connection that does one exchange after another.
pub(super) struct Http1 {
    host: HeaderValue,
    stream: Stream,
    /// What of the request TLS has not taken yet.
    unsent: BytesMut,
    /// Whether all of it has left.
    flushed: bool,
    /// What has come and was not read.
    received: BytesMut,
    /// Whether the last exchange ended so that another may begin.
    pub(super) persists: bool,
    pub(super) made: Instant,
    alarm: Alarm,
}

impl Http1 {
    pub(super) fn new(stream: Stream, host: &HeaderValue) -> Self {
        Self {
            host: host.clone(),
            stream,
            unsent: BytesMut::new(),
            flushed: true,
            received: BytesMut::new(),
            persists: true,
            made: Instant::now(),
            alarm: Alarm::new(),
        }
    }

    /// Sends the request and takes the whole answer, unless the deadline passes first.
    pub(super) async fn exchange(
        &mut self,
        request: &UpstreamRequest,
        deadline: Deadline,
    ) -> Result<Reply, Failure> {
        if self.is_over() {
            let error = io::Error::from(io::ErrorKind::ConnectionAborted);
            return Err(Failure::HandedBack(error.into()));
        }
        (self.persists, self.flushed) = (false, false);
        write(request, &self.host, &mut self.unsent);
        let long = self.unsent.len() > KEEP;
        let reply = self.answer(deadline).await.map_err(Failure::Lost)?;
        if long {
            self.unsent = BytesMut::new();
        }
        Ok(reply)
    }

    async fn answer(&mut self, deadline: Deadline) -> Result<Reply, UpstreamError> {
        let mut reader = Reader::default();
        let answer = loop {
            if let Some(answer) = reader.take(&mut self.received)? {
                break answer;
            }
            if self.some(deadline).await? == 0 {
                break reader.end(&mut self.received)?;
            }
        };
        // SECURITY: what has come beyond the answer could be taken for the next one's
        self.persists = answer.persists && self.flushed && self.received.is_empty();
        if answer.reply.length() > KEEP {
            self.received = BytesMut::new();
        }
        Ok(answer.reply)
    }

    /// Waits until something has come, and says how much: nothing at the end. An end that TLS
    /// doesn't tell of (RFC 8446, section 6.1) is an error, as the answer may have been cut.
    async fn some(&mut self, deadline: Deadline) -> Result<usize, UpstreamError> {
        poll_fn(|task| match self.poll_some(task) {
            Poll::Ready(came) => {
                Poll::Ready(came.map_err(|error| UpstreamError::Broken(error.into())))
            }
            Poll::Pending => {
                let passed = self.alarm.poll(deadline, task);
                passed.map(|_elapsed| Err(UpstreamError::Timeout))
            }
        })
        .await
    }

    fn poll_some(&mut self, task: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // The vendor may answer before it has read all, and close. So what it says comes first,
        // and then only what became of the sending.
        let sent = self.poll_send(task);
        if self.received.capacity() == self.received.len() {
            self.received.reserve(READ);
        }
        let came = pin!(self.stream.read_buf(&mut self.received)).poll(task);
        match (sent, came) {
            (_, Poll::Ready(Ok(count))) if count > 0 => Poll::Ready(Ok(count)),
            (Poll::Ready(Err(error)), _) => Poll::Ready(Err(error)),
            (_, came) => came,
        }
    }

    fn poll_send(&mut self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.flushed {
            return Poll::Ready(Ok(()));
        }
        while !self.unsent.is_empty() {
            let count = ready!(Pin::new(&mut self.stream).poll_write(task, &self.unsent))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent.advance(count);
        }
        ready!(Pin::new(&mut self.stream).poll_flush(task))?;
        self.flushed = true;
        Poll::Ready(Ok(()))
    }

    /// Whether it can take no request any more. Nobody looks at it while it is idle, so this does:
    /// nothing may come then but the end.
    pub(super) fn is_over(&mut self) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        let mut byte = [0];
        let mut unasked = ReadBuf::new(&mut byte);
        let look = poll_fn(|task| Pin::new(&mut self.stream).poll_read(task, &mut unasked));
        // unconstrained: a task that has done much would be told that nothing has come
        let came = pin!(unconstrained(look)).poll(&mut nobody);
        !self.persists || came.is_ready()
    }

    /// Tells the vendor that no more will come. What can't be told at once isn't.
    pub(super) fn close(mut self) {
        let mut nobody = Context::from_waker(Waker::noop());
        if let Poll::Ready(Err(error)) = Pin::new(&mut self.stream).poll_shutdown(&mut nobody) {
            tracing::debug!(%error, "a connection to the vendor was not closed properly");
        }
    }
}

#[cfg(any(test, fuzzing))]
pub(super) use answer::is_one_however_it_comes;

/// Writes a request for `host` (RFC 9112, section 3). Names and values can't hold what would end
/// their line: that is an invariant of their types.
fn write(request: &UpstreamRequest, host: &HeaderValue, out: &mut BytesMut) {
    let target = request.target().as_str();
    for part in [request.method().as_str(), " ", target, " HTTP/1.1\r\n"] {
        out.put_slice(part.as_bytes());
    }
    for (name, value) in std::iter::once((&HOST, host)).chain(request.fields()) {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.put_slice(part);
        }
    }
    out.put_slice(b"\r\n");
    out.put_slice(request.body());
}
