use super::*;
use crate::refusal::Refusal;

#[test]
fn a_console_renders_its_classes_and_its_histogram() {
    let recorder = recorder().unwrap();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        describe();
        let console = ConsoleMetrics::new("namenode");
        console.record(StatusCode::OK, Duration::from_millis(3));
        console.record(StatusCode::BAD_GATEWAY, Duration::from_millis(300));
        Refusal::HeadTimeout.count();
        login(LoginSide::Client, "ok");
        BackendMetrics::new("namenode", "http://nn1:50070").set(true, false);
    });
    let text = handle.render();
    for line in [
        "spnegate_requests_total{console=\"namenode\",code=\"2xx\"} 1",
        "spnegate_requests_total{console=\"namenode\",code=\"5xx\"} 1",
        "spnegate_request_duration_seconds_bucket{console=\"namenode\",le=\"0.005\"} 1",
        "spnegate_request_duration_seconds_count{console=\"namenode\"} 2",
        "spnegate_refusals_total{reason=\"head_timeout\"} 1",
        "spnegate_logins_total{side=\"client\",result=\"ok\"} 1",
        "spnegate_backend_up{console=\"namenode\",backend=\"http://nn1:50070\"} 1",
        "spnegate_backend_active{console=\"namenode\",backend=\"http://nn1:50070\"} 0",
        "# TYPE spnegate_request_duration_seconds histogram",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}
