use http::Request;

use super::*;

fn traces() -> Traces {
    Traces::new(Arc::new(Metrics::new()))
}

fn head(method: &str) -> Parts {
    let request = Request::builder().method(method).body(()).unwrap();
    request.into_parts().0
}

#[test]
fn a_method_of_the_callers_invention_is_not_told() {
    let trace = traces().begin(RequestId::new(), &head("SECRET")).unwrap();
    assert_eq!(trace.method, "_OTHER");
}

#[test]
fn a_request_without_a_parent_begins_a_trace_that_is_called_as_it_is() {
    let id = RequestId::new();
    let mut trace = traces().begin(id, &head("GET")).unwrap();
    let onward = trace.exchange();
    let plain = id.to_string().replace('-', "");
    let said = onward.traceparent.to_str().unwrap();
    assert!(said.contains(&plain) && said.ends_with("-01"), "{said}");
    assert!(onward.is_root);
}

#[test]
fn what_there_is_no_room_for_is_dropped_and_counted() {
    let traces = traces();
    let queue = &traces.0;
    for _ in 0..MOST + 3 {
        let trace = traces.begin(RequestId::new(), &head("GET")).unwrap();
        queue.push(Finished {
            trace,
            request_id: RequestId::new(),
            operation: None,
            start: SystemTime::UNIX_EPOCH,
            duration: Duration::ZERO,
            status: None,
            reason: None,
        });
    }
    assert_eq!(queue.take().len(), MOST);
    let text = queue
        .metrics
        .render(&super::super::metrics::Readings::default());
    assert!(text.unwrap().contains("spans_total{result=\"dropped\"} 3"));
}
