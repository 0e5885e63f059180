//! The admin listener: `/metrics`, `/health` and a status page, without login; and, from this machine
//! only, [changes of backends' administrative states](control).
//!
//! It has its own thread and runtime, so that it responds while the workers are busy. Nothing that it
//! shows is secret, but it is meant for `127.0.0.1` or a management network.

use std::{
    convert::Infallible,
    fmt, io,
    net::{IpAddr, SocketAddr, TcpListener},
    sync::Arc,
    thread,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{Semaphore, watch},
    task::spawn_local,
    time,
};

use crate::{net::BindError, telemetry::metrics};

pub(crate) mod control;
mod page;
pub(crate) mod status;

use self::control::{Assign, Assignment};
pub(crate) use self::status::Status;

/// Concurrent connections; each scraper needs one.
const CONNECTIONS: usize = 64;
/// For a request's head, and between requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The media type of the Prometheus text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Clone)]
pub(crate) struct AdminOptions {
    pub listen: SocketAddr,
    pub metrics: PrometheusHandle,
    /// Called for each request of `/` and `/health`.
    pub status: Arc<dyn Fn() -> Status + Send + Sync>,
    /// Changes the administrative state of a backend.
    pub assign: Assign,
}

impl fmt::Debug for AdminOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminOptions")
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

/// The running admin listener; it stops, and its thread is joined, when this is dropped.
#[derive(Debug)]
pub(crate) struct Admin {
    address: SocketAddr,
    /// `None` only while it is dropped.
    running: Option<(watch::Sender<()>, thread::JoinHandle<()>)>,
}

impl Drop for Admin {
    fn drop(&mut self) {
        if let Some((alive, thread)) = self.running.take() {
            drop(alive);
            // The status holds handles of GSSAPI. A thread that released the last of them while the
            // process exits would abort it, because libkrb5 destroys its locks at exit. The thread
            // does not block, so the wait is short. A panic has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

impl Admin {
    /// The bound address; with port 0, the port that the system chose.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Starts the admin listener, and the upkeep of the metrics with it.
///
/// # Errors
/// [`BindError`], naming the address.
pub(crate) fn start(options: AdminOptions) -> Result<Admin, BindError> {
    let failed = |source| BindError::new(options.listen, source);
    // Bound here and not on the thread, so that a port in use fails the start of the gateway.
    let socket = TcpListener::bind(options.listen).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    let (alive, ended) = watch::channel(());
    let runtime = Builder::new_current_thread;
    let thread = thread::Builder::new()
        // A thread of its own: the control runtime may be busy with logins that wait for a KDC.
        .name("admin".to_owned())
        .spawn(move || {
            let served = runtime()
                .enable_all()
                .build_local(LocalOptions::default())
                .and_then(|runtime| runtime.block_on(serve(socket, options, ended)));
            if let Err(error) = served {
                tracing::error!(%error, "the admin listener has stopped");
            }
        })
        .map_err(BindError::Worker)?;
    Ok(Admin {
        address,
        running: Some((alive, thread)),
    })
}

async fn serve(
    socket: TcpListener,
    options: AdminOptions,
    mut ended: watch::Receiver<()>,
) -> io::Result<()> {
    let socket = tokio::net::TcpListener::from_std(socket)?;
    let options = Arc::new(options);
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let mut upkeep = time::interval(metrics::UPKEEP);
    loop {
        tokio::select! {
            // Returns an error when the handle is dropped.
            _ = ended.changed() => return Ok(()),
            _ = upkeep.tick() => options.metrics.run_upkeep(),
            accepted = socket.accept() => {
                let Ok((tcp, peer)) = accepted else {
                    // Out of file descriptors: try again at the next tick instead of spinning.
                    upkeep.tick().await;
                    continue;
                };
                // Further connections are closed: this listener has no login, and must not use up
                // the file descriptors that the workers need.
                let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else { continue };
                let options = Arc::clone(&options);
                let service = service_fn(move |request: Request<Incoming>| {
                    let response = respond(&request, peer.ip(), &options);
                    async move { Ok::<_, Infallible>(response) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_TIMEOUT)
                    .serve_connection(TokioIo::new(tcp), service);
                spawn_local(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "admin connection failed");
                    }
                    drop(permit);
                });
            }
        }
    }
}

fn respond<B>(request: &Request<B>, peer: IpAddr, options: &AdminOptions) -> Response<Full<Bytes>> {
    let json = request.uri().query() == Some("format=json");
    let (status, media, body) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, path) => match path {
            "/metrics" => (StatusCode::OK, PROMETHEUS, options.metrics.render()),
            "/health" => health(&(options.status)()),
            "/" if json => match serde_json::to_string_pretty(&(options.status)()) {
                Ok(text) => (StatusCode::OK, "application/json", text),
                Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
            },
            "/" => {
                let page = page::render(&(options.status)());
                (StatusCode::OK, "text/html; charset=utf-8", page)
            }
            _ => text(
                StatusCode::NOT_FOUND,
                "Not found. Available: /, /metrics and /health.",
            ),
        },
        // The only request that changes something is a POST: a link on any web site can make a
        // browser send a GET.
        (&Method::POST, path) if path.starts_with("/backends/") => {
            let read = control::read(peer, request.headers(), path);
            let done = read.and_then(|wanted| (options.assign)(&wanted).map(|()| wanted));
            match done {
                Ok(Assignment {
                    console,
                    backend,
                    state,
                }) => text(
                    StatusCode::OK,
                    &format!("{console}: {backend} is {}", state.as_str()),
                ),
                Err(error) => text(error.status(), &error.to_string()),
            }
        }
        _ => text(
            StatusCode::METHOD_NOT_ALLOWED,
            "Only GET and HEAD are allowed.",
        ),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::CONTENT_SECURITY_POLICY,
            // The page has no scripts. Should a value ever escape maud, nothing may run or be loaded.
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// 200 while requests are accepted, 503 while draining: for a load balancer in front.
fn health(status: &Status) -> (StatusCode, &'static str, String) {
    if status.draining {
        text(StatusCode::SERVICE_UNAVAILABLE, "draining")
    } else {
        text(StatusCode::OK, "ok")
    }
}

fn text(status: StatusCode, line: &str) -> (StatusCode, &'static str, String) {
    (status, "text/plain; charset=utf-8", format!("{line}\n"))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    fn options(draining: bool) -> AdminOptions {
        AdminOptions {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            metrics: PrometheusBuilder::new().build_recorder().handle(),
            status: Arc::new(move || Status {
                draining,
                ..status::tests::status()
            }),
            assign: Arc::new(|wanted| Err(control::ControlError::Console(wanted.console.clone()))),
        }
    }

    fn get(uri: &str, draining: bool) -> (Response<()>, String) {
        let request = Request::get(uri).body(()).unwrap();
        let (head, body) =
            respond(&request, IpAddr::from([127, 0, 0, 1]), &options(draining)).into_parts();
        let runtime = Builder::new_current_thread().build().unwrap();
        let body = runtime.block_on(body.collect()).unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        (Response::from_parts(head, ()), body)
    }

    #[test]
    fn health_is_unavailable_while_draining() {
        assert_eq!(get("/health", false).0.status(), StatusCode::OK);
        let (head, body) = get("/health", true);
        assert_eq!(head.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body, "draining\n");
    }

    #[test]
    fn the_page_names_consoles_and_backends_and_escapes_them() {
        let (head, body) = get("/", false);
        assert_eq!(head.headers()["x-content-type-options"], "nosniff");
        assert!(body.contains("namenode") && body.contains("http://nn1.example.com:50070"));
        assert!(body.contains("&lt;b&gt;refused") && !body.contains("<b>refused"));
        assert!(body.contains("presto.example.com:9090") && !body.contains("<i>refused"));
        assert!(body.contains("websvc@EXAMPLE.COM") && !body.contains("<u>refused"));
    }

    #[test]
    fn the_status_is_available_as_json() {
        let (_, body) = get("/?format=json", false);
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(json["consoles"][0]["backends"][0]["state"], "active");
    }

    #[test]
    fn the_listener_stops_when_its_handle_is_dropped() {
        let admin = start(options(false)).unwrap();
        let get = |address| -> io::Result<String> {
            use std::io::{Read, Write};
            let mut tcp = std::net::TcpStream::connect(address)?;
            tcp.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
            let mut text = String::new();
            tcp.read_to_string(&mut text)?;
            Ok(text)
        };
        let address = admin.address();
        assert!(get(address).unwrap().ends_with("ok\n"));
        drop(admin);
        while get(address).is_ok_and(|text| !text.is_empty()) {
            thread::yield_now();
        }
    }

    #[test]
    fn nothing_that_the_listener_held_outlives_its_handle() {
        for _ in 0..50 {
            let held = Arc::new(());
            let status = Arc::clone(&held);
            let admin = start(AdminOptions {
                status: Arc::new(move || {
                    let _ = &status;
                    status::tests::status()
                }),
                ..options(false)
            });
            drop(admin.unwrap());
            assert_eq!(Arc::strong_count(&held), 1);
        }
    }

    #[test]
    fn a_port_in_use_is_a_bind_error() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = other.local_addr().unwrap();
        let error = start(AdminOptions {
            listen,
            ..options(false)
        })
        .unwrap_err();
        assert!(matches!(error, BindError::InUse { .. }), "{error}");
    }
}
