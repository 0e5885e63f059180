//! The result as Markdown: the ratios first, then all figures, then how they were taken.

use std::fmt::Write as _;

use super::{
    figures::Figures,
    goal::{self, Bound},
    options::Options,
};

const HOW: &str = "\
Client, proxy and backend share the machine and its loopback addresses, so requests a second say
little by themselves; the CPU time of the proxy's processes is what counts. All take turns within a
round. A figure is the median over the rounds, with the smallest and the largest in brackets; a
ratio is taken within each round before that. *Added* latency is that of the same load without a
proxy taken off, and counts from the moment a request was due. Logins: every request brings a fresh
token of one service ticket (\"a ticket's first\": of a new one each) and no cookie, 16 connections;
the bare loop accepts such tokens on every core by `gss_accept_sec_context`, asks for the client's
name and does nothing else, with the same keytab in memory, a credential of the one principal and the
gateway's replay cache. (The gateway asks for the name at a ticket's first login only, and keeps the
replay cache open.) *Left by the client*: the machine's CPU time less what client, backend and
strangers used. `make bench` measures what `make release` builds, by a profile of its work; the
others are Debian's packages.";

/// The table of ratios.
pub fn ratios(figures: &Figures) -> String {
    let mut text = String::from("| | ratio | target | reached |\n|---|---|---|---|\n");
    for goal in goal::all(figures) {
        let target = match goal.bound {
            Bound::AtMost(most) => format!("≤ {most}"),
            Bound::AtLeast(least) => format!("≥ {least}"),
            Bound::None => String::new(),
        };
        let verdict = match goal.is_met() {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "",
        };
        let _ = writeln!(
            text,
            "| {} | {} | {target} | {verdict} |",
            goal.what, goal.value
        );
    }
    text
}

/// A table a task with everybody's figures.
fn figures_of_all(figures: &Figures) -> String {
    let mut text = String::new();
    for task in figures.tasks() {
        let metrics = figures.metrics(task);
        let _ = write!(text, "\n**{task}**\n\n|");
        for metric in &metrics {
            let _ = write!(text, " | {metric}");
        }
        let _ = writeln!(text, " |\n|---{}|", "|---".repeat(metrics.len()));
        for who in figures.measured(task) {
            let _ = write!(text, "| {who}");
            for metric in &metrics {
                let value = figures.get(task, who, *metric);
                let value = value.map_or_else(|| "–".to_owned(), ToString::to_string);
                let _ = write!(text, " | {value}");
            }
            text.push_str(" |\n");
        }
    }
    text
}

/// The whole result.
pub fn page(figures: &Figures, options: &Options, date: &str, machine: &str) -> String {
    let strangers = figures.strangers();
    let percent = |share: f64| share * 100.0;
    let mut text = format!("# spnegate and its peers, {date}\n\n{machine}");
    let _ = writeln!(
        text,
        "- Rounds: {} of {} s; {} logins; {} MiB for PUT and GET",
        options.rounds,
        options.time.as_secs_f64(),
        options.logins,
        options.size
    );
    let _ = writeln!(
        text,
        "- Strangers (processes that are not the benchmark's) used {:.1} % of the machine in the \
         median measurement, {:.1} % in the worst",
        percent(strangers.median()),
        percent(strangers.max())
    );
    let _ = write!(
        text,
        "\n## Ratios\n\n{}\n## Figures\n{}\n## How\n\n{HOW}\n",
        ratios(figures),
        figures_of_all(figures)
    );
    text
}
