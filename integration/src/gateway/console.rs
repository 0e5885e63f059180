//! The consoles that a gateway publishes before a lab, each on its usual port.

use std::net::SocketAddrV4;

use crate::{lab::Lab, server::Server};

/// A published console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// The NameNode pair, with WebHDFS and the DataNode behind it.
    NameNode,
    /// The ResourceManager pair.
    ResourceManager,
    /// The JobHistoryServer.
    JobHistory,
    /// Oozie.
    Oozie,
    /// HttpFS.
    HttpFs,
}

impl Console {
    /// Every console.
    pub const ALL: &[Console] = &[
        Console::NameNode,
        Console::ResourceManager,
        Console::JobHistory,
        Console::Oozie,
        Console::HttpFs,
    ];

    /// Its name and its kind in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Console::NameNode => "namenode",
            Console::ResourceManager => "resourcemanager",
            Console::JobHistory => "jobhistory",
            Console::Oozie => "oozie",
            Console::HttpFs => "httpfs",
        }
    }

    /// The port that it and its servers listen on.
    pub fn port(self) -> u16 {
        self.servers()[0].ports()[0]
    }

    fn servers(self) -> &'static [Server] {
        match self {
            Console::NameNode => &[Server::Nn1, Server::Nn2],
            Console::ResourceManager => &[Server::Rm1, Server::Rm2],
            Console::JobHistory => &[Server::Jhs],
            Console::Oozie => &[Server::Oozie],
            Console::HttpFs => &[Server::Httpfs],
        }
    }

    /// The URLs of its servers that the lab has.
    pub fn backends(self, lab: &Lab) -> Vec<String> {
        let here = self
            .servers()
            .iter()
            .filter(|server| lab.servers().contains(server));
        here.filter_map(|server| server.url()).collect()
    }

    /// Its section of the configuration file.
    pub(crate) fn section(self, lab: &Lab, listen: SocketAddrV4, identity: &str) -> String {
        let name = self.name();
        let backends = self.backends(lab);
        let balance = if self.servers().len() > 1 {
            "active"
        } else {
            "first"
        };
        let nodes = match self {
            Console::NameNode => "nodes = { hosts = [\"*.example.com\"], ports = [50075] }\n",
            Console::ResourceManager | Console::JobHistory | Console::Oozie | Console::HttpFs => "",
        };
        format!(
            "[[console]]\nname = \"{name}\"\nkind = \"{name}\"\nlisten = \"{listen}\"\n\
             backends = {backends:?}\nbalance = \"{balance}\"\nidentity = \"{identity}\"\n{nodes}"
        )
    }
}
