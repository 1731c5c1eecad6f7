//! Callers by the user at the other end of a unix socket.

use rustix::process::getuid;

use super::{KEY, assert_called_by, assert_unknown, guess};
use crate::support::{Builder, Rig};

fn over_unix(callers: &str) -> Builder {
    let builder = Rig::builder();
    let socket = format!("unix:{}/gateway.sock", builder.folder());
    builder.listen(&[&socket]).tables(callers)
}

#[tokio::test]
async fn a_caller_is_known_by_its_user() {
    let uid = getuid().as_raw();
    let callers = format!(
        "[[callers]]\nname = 'app'\nuid = {uid}\n[[callers]]\nname = 'desk'\ntoken = 'the-key-of-the-desk'\n"
    );
    let rig = over_unix(&callers).start().await;
    for call in [guess(), guess().http2()] {
        let reply = rig.call(call).await;
        assert_called_by(&rig, &reply, "app");
    }
    // whose user is one caller's and whose token is another's
    let both = rig.call(guess().header(KEY, "the-key-of-the-desk")).await;
    assert_unknown(&rig, &both);
}

#[tokio::test]
async fn another_user_is_unknown_unless_a_token_tells() {
    let other = getuid().as_raw() + 1;
    let callers = format!(
        "[[callers]]\nname = 'app'\nuid = {other}\n[[callers]]\nname = 'desk'\ntoken = 'the-key-of-the-desk'\n"
    );
    let rig = over_unix(&callers).start().await;
    assert_unknown(&rig, &rig.call(guess()).await);
    assert_unknown(&rig, &rig.call(guess().header(KEY, "wrong")).await);
    let desk = rig.call(guess().header(KEY, "the-key-of-the-desk")).await;
    assert_called_by(&rig, &desk, "desk");
}
