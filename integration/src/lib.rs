//! The lab: a kerberized Hadoop on one machine, made of the real servers.
//!
//! Tests, the demo and the benchmark describe a lab, start it, and have it ended when it is
//! dropped, or when their process dies in whatever way. Only one lab fits on a machine, since the
//! servers listen at their usual ports, each on a loopback address of its own.
//!
//! ```no_run
//! use lab::{GATEWAY, Lab, Server};
//!
//! # fn main() -> anyhow::Result<()> {
//! let lab = Lab::builder().with(Server::HDFS).start()?;
//! let answer = lab.get(GATEWAY, "http://nn1.example.com:50070/isActive")?;
//! let mut gateway = lab.command("target/debug/spnegate");
//! # Ok(())
//! # }
//! ```
//!
//! The program `lab` does the same for a shell; see the README.

pub mod bench;
mod clients;
pub mod demo;
mod gateway;
mod kerberos;
mod lab;
mod machine;
mod packages;
mod server;

pub use clients::{
    client::{Client, Reply},
    fetch::Fetched,
    load::{Load, Tally, Turn},
    sql::{Desk, Driver, Session},
    statement::Statement,
    turns::{AWAY, CUT_SHORT, OWNER_GONE, UNDER_WAY, reason},
};
pub use gateway::{
    Gateway, GatewayBuilder, SERVICE,
    console::Console,
    stage::{READERS, Stage},
};
pub use kerberos::{
    realm::Realm,
    rules::{Mapped, REALM, RuleSet, jdks, kerberos_names},
    samba::Domain,
};
pub use lab::{
    GATEWAY, Lab,
    builder::Builder,
    control,
    world::{Answer, World, default_folder},
};
pub use machine::{
    names,
    process::{Process, run},
    sys::in_own_session,
    wait,
};
pub use packages::{
    folder as cache_folder, fsspec_python, httpx_python, install,
    java::{home as java_home, home_for_trino},
};
pub use server::{
    Server, UnknownServer, conf::Filter, daemons::hadoop_tool,
    keystore::PASSWORD as KEYSTORE_PASSWORD,
};
