//! `spnegate backend` and `spnegate status`: what an operator asks of, and says to, a running
//! gateway, by its admin listener.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use super::{CONFIG, FAILED, USAGE, check, say};
use crate::{admin::control::HEADER, balance::AdminState};

/// For each step of the exchange with the gateway.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which gateway.
#[derive(Debug, clap::Args)]
pub(super) struct Gateway {
    /// Its admin listener; default: `admin.listen` of the configuration file
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin: Option<SocketAddr>,
    /// The configuration file
    #[arg(
        long,
        short,
        value_name = "FILE",
        default_value = "/etc/spnegate/spnegate.toml"
    )]
    config: PathBuf,
}

/// Which backend.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// The name of a console or stream
    console: String,
    /// The backend, as host:port or by its URL as in the configuration file
    backend: String,
    #[command(flatten)]
    gateway: Gateway,
}

/// Says what a backend is to do.
pub(super) fn assign(which: &Which, duty: AdminState) -> ExitCode {
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    let is_word = |text: &str| plain(text) && !text.contains(['/', '?', '#', '%']);
    if !is_word(&which.console) {
        say(format_args!(
            "`{}` is not the name of a console or stream: write it as in the configuration file",
            which.console.escape_debug()
        ));
        return ExitCode::from(USAGE);
    }
    let Some(backend) = authority(&which.backend).filter(|backend| is_word(backend)) else {
        say(format_args!(
            "`{}` is not a backend: write host:port, or its URL as in the configuration file",
            which.backend.escape_debug()
        ));
        return ExitCode::from(USAGE);
    };
    let Some(admin) = admin(&which.gateway) else {
        return ExitCode::from(CONFIG);
    };
    let path = format!("/backends/{}/{backend}/{}", which.console, duty.as_str());
    finish(admin, ask(admin, "POST", &path))
}

/// `host:port` of a backend that may be written as a URL.
fn authority(text: &str) -> Option<String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Some(text.to_owned());
    };
    let port = match scheme.to_ascii_lowercase().as_str() {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let has_port = authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.contains(']'));
    Some(if has_port {
        authority.to_owned()
    } else {
        format!("{authority}:{port}")
    })
}

/// Prints what the gateway says of itself, as JSON.
pub(super) fn status(gateway: &Gateway) -> ExitCode {
    let Some(admin) = admin(gateway) else {
        return ExitCode::from(CONFIG);
    };
    finish(admin, ask(admin, "GET", "/?format=json"))
}

fn admin(gateway: &Gateway) -> Option<SocketAddr> {
    if gateway.admin.is_some() {
        return gateway.admin;
    }
    let file: &Path = &gateway.config;
    // what `check` warns of has no bearing on where the listener is
    let (config, _warnings) = check::read(file);
    let config = config?;
    let mut address = config.admin.map(|admin| admin.listen);
    if address.is_none() {
        say(format_args!(
            "{}: there is no [admin] listener. Write admin.listen = \"127.0.0.1:9095\" and start \
             the gateway again, or name it with --admin.",
            file.display()
        ));
    }
    if let Some(address) = address.as_mut().filter(|a| a.ip().is_unspecified()) {
        address.set_ip(if address.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    address
}

/// The answer's status and body. HTTP/1.0, so that the body ends with the connection.
fn ask(admin: SocketAddr, method: &str, path: &str) -> io::Result<(u16, String)> {
    let mut tcp = TcpStream::connect_timeout(&admin, PATIENCE)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    tcp.set_write_timeout(Some(PATIENCE))?;
    write!(
        tcp,
        "{method} {path} HTTP/1.0\r\nHost: {admin}\r\n{HEADER}: yes\r\nContent-Length: 0\r\n\r\n"
    )?;
    let mut answer = String::new();
    tcp.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
    match (status, answer.split_once("\r\n\r\n")) {
        (Some(status), Some((_, body))) => Ok((status, body.to_owned())),
        _ => Err(io::Error::other("that is no HTTP")),
    }
}

fn finish(admin: SocketAddr, answer: io::Result<(u16, String)>) -> ExitCode {
    match answer {
        Ok((200, body)) => {
            let _ = writeln!(io::stdout().lock(), "{}", body.trim_end());
            ExitCode::SUCCESS
        }
        Ok((_, body)) => {
            say(body.trim_end());
            ExitCode::from(FAILED)
        }
        Err(error) => {
            say(format_args!(
                "cannot ask the gateway at {admin}: {error}. Is it running, and is that its \
                 admin.listen?"
            ));
            ExitCode::from(FAILED)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_host_and_a_port() {
        let authority = |text| authority(text).unwrap();
        assert_eq!(authority("nn1.example.com:50070"), "nn1.example.com:50070");
        assert_eq!(
            authority("http://nn1.example.com:50070"),
            "nn1.example.com:50070"
        );
        assert_eq!(authority("HTTPS://nn1.example.com/"), "nn1.example.com:443");
        assert_eq!(authority("http://[::1]"), "[::1]:80");
        assert_eq!(authority("http://[::1]:8088/"), "[::1]:8088");
        assert_eq!(super::authority("ftp://nn1:21"), None);
    }
}
