//! The benchmark (`make bench`): the gateway beside HAProxy, nginx and Apache httpd.
//!
//! Everything is measured in one run on one machine, in turns; the result is one table of ratios
//! with their targets. A slow gateway is not an error; a wrong response is.

mod backend;
pub mod bare;
mod client;
mod contender;
mod figures;
mod goal;
mod http;
mod load;
mod login;
mod machine;
mod memory;
mod options;
mod peer;
mod relay;
mod report;
mod route;
mod series;
mod stage;
mod status;
mod stream;
pub mod token;
pub mod train;
mod transfer;
mod usage;
mod who;
mod window;

use std::{fs, path::Path};

use anyhow::{Context, Result};
use figures::Figures;
use options::Part;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::{Server, machine::progress};
pub use options::{Options, USAGE};
use stage::{Folder, Stage};

/// Measures the requested parts, prints the ratios, and writes the result file.
pub fn run(options: &Options) -> Result<()> {
    raise_file_limit()?;
    let folder = Folder::make()?;
    let mut figures = Figures::default();
    let cores = measure(options, folder.path(), &mut figures)?;
    drop(folder);

    let date = machine::date()?;
    let page = report::page(
        &figures,
        options,
        &date,
        &machine::describe(options, cores)?,
    );
    fs::create_dir_all(&options.out)?;
    let path = options.out.join(format!("{date}-{cores}core.md"));
    fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
    println!("\n{}", report::ratios(&figures));
    println!("written to {}", path.display());
    Ok(())
}

/// Runs the parts, those that need Hadoop last; returns the machine's cores.
fn measure(options: &Options, folder: &Path, figures: &mut Figures) -> Result<u32> {
    let mut cores = 0;
    let runs = |parts: &[Part]| parts.iter().any(|part| options.runs(*part));
    if runs(&[Part::Relay, Part::Stream, Part::Login, Part::Memory]) {
        // Only a KDC, so that no JVM takes CPU time.
        let stage = Stage::set(folder, options.gateway.clone(), &[])?;
        cores = stage.cores;
        if options.runs(Part::Relay) {
            relay::run(&stage, options, figures).context("relay")?;
        }
        if options.runs(Part::Stream) {
            stream::run(&stage, options, figures).context("stream")?;
        }
        if options.runs(Part::Login) {
            login::run(&stage, options, figures).context("login")?;
        }
        if options.runs(Part::Memory) {
            memory::run(&stage, options, figures).context("memory")?;
        }
    }
    if runs(&[Part::Status, Part::Transfer]) {
        let stage = Stage::set(folder, options.gateway.clone(), Server::HDFS)?;
        cores = stage.cores;
        let routes = route::all(&stage, options)?;
        if options.runs(Part::Status) {
            status::run(&stage, options, &routes, figures).context("status")?;
        }
        if options.runs(Part::Transfer) {
            transfer::run(&stage, options, &routes, figures).context("transfer")?;
        }
        progress::say("ending Hadoop");
    }
    Ok(cores)
}

/// Thousands of connections are kept open here and in every server, which inherits the limit.
fn raise_file_limit() -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("cannot raise the limit of open files")
}
