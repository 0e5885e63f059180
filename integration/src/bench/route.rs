//! The compared routes to HDFS: direct, through HAProxy, through the gateway.

use std::{
    net::{SocketAddr, SocketAddrV4},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::{
    client::Client,
    contender::{self, Contender},
    options::Options,
    peer::Peer,
    stage::{Stage, USER},
    who::Who,
};
use crate::{GATEWAY, Server, machine::wait};

/// Hadoop's own cookie.
const HADOOP_COOKIE: &str = "hadoop.auth";
/// The gateway's settings to find the active NameNode and to verify that it honours `doAs`.
const PROOF: Duration = Duration::from_secs(60);

/// A route to the active NameNode and to the DataNode of its redirects.
#[derive(Debug)]
pub struct Route {
    /// Whose way.
    pub who: Who,
    /// The proxy, if there is one.
    pub peer: Option<Peer>,
    /// Where the NameNode is reached.
    console: SocketAddrV4,
    /// Where the DataNode is reached.
    node: SocketAddrV4,
    /// `Cookie: …` and the end of the line.
    cookie: String,
}

/// Starts the proxies before the active NameNode, and logs in.
pub fn all(stage: &Stage, options: &Options) -> Result<Vec<Route>> {
    let active = stage.lab.active_namenode()?;
    let active = active.context("no NameNode is active")?;
    let namenode = active.console().context("a NameNode has a console")?;
    let datanode = Server::Dn1.console().context("a DataNode has a console")?;
    let cookie = hadoop_cookie(stage, USER, active, namenode)?;
    let mut routes = vec![Route {
        who: Who::Direct,
        peer: None,
        console: namenode,
        node: datanode,
        cookie: cookie.clone(),
    }];
    if options.has(Who::Haproxy) {
        let peer = Peer::haproxy(stage, namenode, Some(datanode))?;
        routes.push(Route {
            who: Who::Haproxy,
            console: peer.address,
            peer: Some(peer),
            node: Peer::haproxy_node(),
            cookie,
        });
    }
    if options.has(Who::Gateway) {
        let peer = Peer::gateway_hdfs(stage)?;
        let path = "/webhdfs/v1/?op=GETFILESTATUS";
        let mut last = None;
        let cookie = wait::until(
            "the gateway serves HDFS",
            PROOF,
            || match Contender::log_in(stage, &peer, path) {
                Ok(contender) => Ok(contender.cookie),
                Err(error) => {
                    last = Some(error);
                    Ok(None)
                }
            },
        );
        let cookie = cookie.with_context(|| match last.take() {
            Some(error) => format!("{error:#}"),
            None => peer.last_words(),
        })?;
        routes.push(Route {
            who: Who::Gateway,
            console: peer.address,
            node: peer.address,
            peer: Some(peer),
            cookie: format!("Cookie: {cookie}\r\n"),
        });
    }
    Ok(routes)
}

/// The routes without the gateway, as the gateway's principal with `doAs`, which the NameNode
/// itself accepts.
pub fn told(stage: &Stage, routes: &[Route]) -> Result<Vec<Route>> {
    let active = stage.lab.active_namenode()?;
    let active = active.context("no NameNode is active")?;
    let namenode = active.console().context("a NameNode has a console")?;
    let cookie = hadoop_cookie(stage, GATEWAY, active, namenode)?;
    let told = routes.iter().filter_map(|route| {
        let who = match route.who {
            Who::Direct => Who::DirectDoAs,
            Who::Haproxy => Who::HaproxyDoAs,
            _ => return None,
        };
        Some(Route {
            who,
            peer: None,
            console: route.console,
            node: route.node,
            cookie: cookie.clone(),
        })
    });
    Ok(told.collect())
}

/// The cookie that a NameNode gives a principal for a token.
fn hadoop_cookie(
    stage: &Stage,
    principal: &str,
    server: Server,
    address: SocketAddrV4,
) -> Result<String> {
    let token = stage.tokens_of(principal, &format!("HTTP/{}", server.host_name()), 1)?;
    let mut client = Client::connect(address.into())?;
    let path = "/webhdfs/v1/?op=GETFILESTATUS";
    let answer = client.exchange(&contender::login(path, address, &token[0], false))?;
    answer.must_have(200).context("login at the NameNode")?;
    let cookie = answer.cookie(HADOOP_COOKIE);
    let cookie = cookie.with_context(|| format!("the NameNode gave no {HADOOP_COOKIE}"))?;
    Ok(format!("Cookie: {cookie}\r\n"))
}

impl Route {
    /// Where the NameNode is reached, for a client.
    pub fn console(&self) -> SocketAddr {
        self.console.into()
    }

    /// The process id of the proxy.
    pub fn pid(&self) -> Option<u32> {
        self.peer.as_ref().map(Peer::pid)
    }

    /// A request to the NameNode without a body.
    pub fn request(&self, method: &str, path: &str) -> Vec<u8> {
        let headers = match method {
            "PUT" | "POST" => format!("{}Content-Length: 0\r\n", self.cookie),
            _ => self.cookie.clone(),
        };
        contender::request(method, path, self.console, &headers)
    }

    /// Sends one request to the NameNode, which must have this status.
    pub fn ask(&self, method: &str, path: &str, status: u16) -> Result<String> {
        let mut client = Client::connect(self.console())?;
        let answer = client.exchange(&self.request(method, path))?;
        answer.must_have(status)?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// Requests a redirect from the NameNode; returns a connection to the DataNode of this route,
    /// and the request's head without the empty line.
    pub fn redirect(&self, method: &str, path: &str) -> Result<(Client, String)> {
        let mut client = Client::connect(self.console())?;
        let answer = client.exchange(&self.request(method, path))?;
        answer.must_have(307)?;
        let location = answer.header("location").context("307 without Location")?;
        let (host, path) = split(location).with_context(|| format!("Location: {location}"))?;
        // The gateway's node paths need the session; a DataNode needs the token in its query.
        let cookie = match self.who {
            Who::Gateway => {
                ensure!(
                    path.starts_with("/.spnegate/node/"),
                    "Location {location} leaves the gateway"
                );
                self.cookie.as_str()
            }
            _ => "",
        };
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}");
        Ok((Client::connect(self.node.into())?, head))
    }

    /// Makes a small file of the user.
    pub fn make_file(&self, path: &str, body: &[u8]) -> Result<()> {
        let path = format!("/webhdfs/v1{path}?op=CREATE&overwrite=true");
        let (mut client, head) = self.redirect("PUT", &path)?;
        client.send(format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes())?;
        client.send(body)?;
        client.answer()?.must_have(201)
    }
}

/// The folder of the user's files.
pub fn home() -> String {
    format!("/user/{USER}")
}

/// Host with port, and path with query, of an `http` URL.
fn split(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("http://")?;
    Some(rest.split_at(rest.find('/')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_split_at_its_path() {
        let url = "http://dn1.example.com:50075/webhdfs/v1/a?b=/c";
        let parts = ("dn1.example.com:50075", "/webhdfs/v1/a?b=/c");
        assert_eq!(split(url), Some(parts));
        assert_eq!(split("http://dn1"), None);
    }
}
