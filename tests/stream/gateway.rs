//! A gateway with streams in this process, from a few lines of configuration.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use spnegate::{
    runtime::{self, Running},
    testing::Drained,
};
use tempfile::TempDir;

/// A running gateway; drained on drop.
pub struct Gateway {
    running: Option<Running>,
    directory: TempDir,
}

/// A name that no other stream of this process has: metrics are global to the process.
pub fn unique(what: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("{what}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The configuration of a stream on a free port of 127.0.0.1, with additional lines.
pub fn stream(name: &str, backends: &[SocketAddr], lines: &str) -> String {
    let backends: Vec<String> = backends.iter().map(|b| format!("\"{b}\"")).collect();
    let listen = if lines.contains("listen") {
        ""
    } else {
        "listen = \"127.0.0.1:0\"\n"
    };
    let backends = if lines.contains("backends") {
        String::new()
    } else {
        format!("backends = [{}]\n", backends.join(", "))
    };
    format!("[[stream]]\nname = \"{name}\"\n{listen}{backends}{lines}\n")
}

impl Gateway {
    /// Starts a gateway, or returns the error message.
    pub fn try_start(text: &str) -> Result<Self, String> {
        Self::try_with_timeouts(text, "")
    }

    /// The same with more timeouts.
    pub fn with_timeouts(text: &str, timeouts: &str) -> Self {
        Self::try_with_timeouts(text, timeouts).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    fn try_with_timeouts(text: &str, timeouts: &str) -> Result<Self, String> {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("access.log");
        let text = format!(
            "[server]\nworkers = 2\n[timeouts]\ndrain = \"1s\"\nconnect = \"500ms\"\n{timeouts}\
             [admin]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\naccess = \"{}\"\n{text}",
            log.display()
        );
        let file = directory.path().join("gateway.toml");
        let (config, _) = spnegate::parse(&text, &file).map_err(|problems| problems.to_string())?;
        let running = runtime::start(config).map_err(|error| error.to_string())?;
        Ok(Self {
            running: Some(running),
            directory,
        })
    }

    pub fn start(text: &str) -> Self {
        Self::try_start(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    /// The first address of the first stream.
    pub fn address(&self) -> SocketAddr {
        self.running().stream_addresses()[0][0]
    }

    /// The first address of each stream.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let streams = self.running().stream_addresses();
        streams.iter().map(|addresses| addresses[0]).collect()
    }

    /// The first HTTP listener.
    pub fn http(&self) -> SocketAddr {
        self.running().addresses()[0]
    }

    pub fn connect(&self) -> TcpStream {
        connect(self.address())
    }

    /// The body of a page of the admin listener.
    pub fn admin(&self, path: &str) -> String {
        let mut tcp = connect(self.running().admin_address().unwrap());
        write!(tcp, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut text = String::new();
        tcp.read_to_string(&mut text).unwrap();
        text.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// Sets the administrative state of a server; returns the status line.
    pub fn assign(&self, stream: &str, backend: SocketAddr, duty: &str) -> String {
        let admin = self.running().admin_address().unwrap();
        let mut tcp = connect(admin);
        write!(
            tcp,
            "POST /backends/{stream}/{backend}/{duty} HTTP/1.0\r\nHost: {admin}\r\n\
             X-Spnegate-Admin: yes\r\n\r\n"
        )
        .unwrap();
        let mut text = String::new();
        tcp.read_to_string(&mut text).unwrap();
        text.lines().next().unwrap().to_owned()
    }

    /// The value of a metric with these labels, or 0.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let metrics = self.admin("/metrics");
        let wanted: Vec<String> = labels.iter().map(|(k, v)| format!("{k}=\"{v}\"")).collect();
        let line = metrics.lines().find(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('{'))
                && wanted.iter().all(|label| line.contains(label))
        });
        line.map_or(0, |line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
    }

    /// The number of connections of a stream that ended for a reason.
    pub fn ends(&self, stream: &str, reason: &str) -> u64 {
        self.metric(
            "spnegate_stream_ends_total",
            &[("stream", stream), ("reason", reason)],
        )
    }

    /// A stream on the status page.
    pub fn status(&self, stream: &str) -> serde_json::Value {
        let json: serde_json::Value = serde_json::from_str(&self.admin("/?format=json")).unwrap();
        let streams = json["streams"].as_array().unwrap();
        streams
            .iter()
            .find(|s| s["name"] == stream)
            .unwrap()
            .clone()
    }

    pub fn access_log(&self) -> PathBuf {
        self.directory.path().join("access.log")
    }

    /// Drains the gateway and returns the access log.
    pub fn stop(mut self) -> (Drained, Vec<serde_json::Value>) {
        let drained = self.running.take().unwrap().stop();
        let log = std::fs::read_to_string(self.access_log()).unwrap();
        let lines = log
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        (drained, lines)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let tcp = TcpStream::connect(address).unwrap();
    // a test that waits in vain fails
    tcp.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    tcp
}

/// All bytes until the end; `Err` on a reset.
pub fn rest(tcp: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    tcp.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether the connection was closed without a byte.
pub fn is_closed(mut tcp: TcpStream) -> bool {
    match tcp.read(&mut [0; 16]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => matches!(
            error.kind(),
            std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe
        ),
    }
}
