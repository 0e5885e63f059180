//! `spnegate backend` and `spnegate status`: talk to the admin listener of a running gateway.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use super::{CONFIG, FAILED, USAGE, check, print_error};
use crate::{admin::control::HEADER, balance::AdminState};

/// For connecting, and for each read and write.
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub(super) struct GatewayArguments {
    /// Address of the gateway's admin listener; default: admin.listen of the configuration file
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin: Option<SocketAddr>,
    /// Path of the configuration file
    #[arg(
        long,
        short,
        value_name = "FILE",
        default_value = "/etc/spnegate/spnegate.toml"
    )]
    config: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct BackendArguments {
    /// Name of the console or stream
    console: String,
    /// The backend, as host:port or as its URL in the configuration file
    backend: String,
    #[command(flatten)]
    gateway: GatewayArguments,
}

/// Changes the administrative state of a backend.
pub(super) fn set_state(arguments: &BackendArguments, state: AdminState) -> ExitCode {
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    // Both become segments of a path.
    let is_word = |text: &str| plain(text) && !text.contains(['/', '?', '#', '%']);
    if !is_word(&arguments.console) {
        print_error(format_args!(
            "error: invalid console or stream name `{}`: write it as in the configuration file",
            arguments.console.escape_debug()
        ));
        return ExitCode::from(USAGE);
    }
    let Some(backend) = authority(&arguments.backend).filter(|backend| is_word(backend)) else {
        print_error(format_args!(
            "error: invalid backend `{}`: write host:port, or the URL as in the configuration file",
            arguments.backend.escape_debug()
        ));
        return ExitCode::from(USAGE);
    };
    let Some(admin) = admin(&arguments.gateway) else {
        return ExitCode::from(CONFIG);
    };
    let path = format!(
        "/backends/{}/{backend}/{}",
        arguments.console,
        state.as_str()
    );
    finish(admin, request(admin, "POST", &path))
}

/// `host:port` of a backend that may be written as a URL.
fn authority(text: &str) -> Option<String> {
    // The status page has `host:port`, the configuration has URLs: operators copy either.
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

/// Prints the status of the gateway as JSON.
pub(super) fn status(gateway: &GatewayArguments) -> ExitCode {
    let Some(admin) = admin(gateway) else {
        return ExitCode::from(CONFIG);
    };
    finish(admin, request(admin, "GET", "/?format=json"))
}

fn admin(gateway: &GatewayArguments) -> Option<SocketAddr> {
    if gateway.admin.is_some() {
        return gateway.admin;
    }
    let file: &Path = &gateway.config;
    // Warnings are for `check`; here they would hide the result.
    let (config, _warnings) = check::read(file);
    let config = config?;
    let mut address = config.admin.map(|admin| admin.listen);
    if address.is_none() {
        print_error(format_args!(
            "error: {}: no admin listener is configured; set admin.listen = \"127.0.0.1:9095\" and \
             restart the gateway, or use --admin ADDRESS:PORT",
            file.display()
        ));
    }
    // 0.0.0.0 is not a destination, and changes are accepted from a loopback address only.
    if let Some(address) = address.as_mut().filter(|a| a.ip().is_unspecified()) {
        address.set_ip(if address.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    address
}

/// Status and body of the response. With HTTP/1.0, the body ends with the connection, so that no HTTP
/// client is needed.
fn request(admin: SocketAddr, method: &str, path: &str) -> io::Result<(u16, String)> {
    let mut tcp = TcpStream::connect_timeout(&admin, TIMEOUT)?;
    tcp.set_read_timeout(Some(TIMEOUT))?;
    tcp.set_write_timeout(Some(TIMEOUT))?;
    write!(
        tcp,
        "{method} {path} HTTP/1.0\r\nHost: {admin}\r\n{HEADER}: yes\r\nContent-Length: 0\r\n\r\n"
    )?;
    let mut response = String::new();
    tcp.read_to_string(&mut response)?;
    let status = response
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok());
    match (status, response.split_once("\r\n\r\n")) {
        (Some(status), Some((_, body))) => Ok((status, body.to_owned())),
        _ => Err(io::Error::other("the response is not HTTP")),
    }
}

fn finish(admin: SocketAddr, response: io::Result<(u16, String)>) -> ExitCode {
    match response {
        Ok((200, body)) => {
            let _ = writeln!(io::stdout().lock(), "{}", body.trim_end());
            ExitCode::SUCCESS
        }
        // The listener explains every refusal in a line of text.
        Ok((_, body)) => {
            print_error(format_args!("error: {}", body.trim_end()));
            ExitCode::from(FAILED)
        }
        Err(error) => {
            print_error(format_args!(
                "error: cannot reach the gateway at {admin}: {error}; make sure that it is running and \
                 that this is its admin.listen"
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
