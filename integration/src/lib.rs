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
mod builder;
mod cache;
mod client;
mod conf;
mod console;
pub mod control;
mod daemons;
pub mod demo;
mod fetch;
mod folder;
mod gateway;
mod hdfs;
pub mod install;
mod java;
mod keystore;
mod lab;
mod load;
mod maven;
pub mod names;
mod ports;
mod process;
mod progress;
mod realm;
mod rules;
mod samba;
mod server;
mod sql;
mod stage;
mod start;
mod statement;
mod sys;
mod turns;
pub mod wait;
mod watchdog;
mod world;
mod yarn;

pub use builder::Builder;
pub use cache::{folder as cache_folder, fsspec_python, httpx_python};
pub use client::{Client, Reply};
pub use conf::Filter;
pub use console::Console;
pub use daemons::hadoop_tool;
pub use fetch::Fetched;
pub use gateway::{Gateway, GatewayBuilder, SERVICE};
pub use java::{home as java_home, home_for_trino};
pub use keystore::PASSWORD as KEYSTORE_PASSWORD;
pub use lab::{GATEWAY, Lab};
pub use load::{Load, Tally, Turn};
pub use process::{Process, run};
pub use realm::Realm;
pub use rules::{Mapped, REALM, RuleSet, jdks, kerberos_names};
pub use samba::Domain;
pub use server::{Server, UnknownServer};
pub use sql::{Desk, Driver, Session};
pub use stage::{READERS, Stage};
pub use statement::Statement;
pub use sys::in_own_session;
pub use turns::{AWAY, CUT_SHORT, OWNER_GONE, UNDER_WAY, reason};
pub use world::{Answer, World, default_folder};
