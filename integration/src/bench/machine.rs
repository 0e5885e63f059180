//! The machine of the measurements: processor, kernel, versions, commit; nothing that identifies
//! its owner.

use std::{fmt::Write as _, fs, process::Command};

use anyhow::Result;

use super::{options::Options, who::Who};
use crate::machine::process::run;

/// Today, as `2026-05-31`.
pub fn date() -> Result<String> {
    let mut date = Command::new("date");
    date.args(["-u", "+%F"]);
    Ok(run(date)?.trim().to_owned())
}

/// The machine and everything with a version, as a list in Markdown.
pub fn describe(options: &Options, cores: u32) -> Result<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let memory = fs::read_to_string("/proc/meminfo")?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let load = fs::read_to_string("/proc/loadavg")?;
    let mut text = String::new();
    let mut item = |name: &str, value: &str| {
        let _ = writeln!(text, "- {name}: {value}");
    };
    let model = field(&cpu, "model name").unwrap_or("unknown processor");
    item("Processor", &format!("{model}, {cores} cores"));
    let gibibytes = field(&memory, "MemTotal")
        .and_then(|kibibytes| kibibytes.split(' ').next()?.parse::<u64>().ok())
        .map_or(0, |kibibytes| kibibytes.div_ceil(1024 * 1024));
    item("Memory", &format!("{gibibytes} GiB"));
    // The part after the first dash identifies the builder.
    let kernel = kernel.trim().split('-').next().unwrap_or_default();
    item("Kernel", &format!("Linux {kernel}"));
    item(
        "Load average at the end",
        load.split(' ').next().unwrap_or_default(),
    );
    item("spnegate", &commit());
    for (who, program, argument) in [
        (Who::Haproxy, "/usr/sbin/haproxy", "-v"),
        (Who::Nginx, "/usr/sbin/nginx", "-v"),
        (Who::Httpd, "/usr/sbin/apache2", "-v"),
    ] {
        if options.has(who) {
            item(&who.to_string(), &version(program, argument));
        }
    }
    item("MIT Kerberos", &version("krb5-config", "--version"));
    Ok(text)
}

fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(found, _)| found.trim() == name)
        .map(|(_, value)| value.trim())
}

/// The commit that is checked out, marked if files differ from it.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.args(arguments);
        run(git)
    };
    let Ok(commit) = git(&["rev-parse", "--short", "HEAD"]) else {
        return "unknown commit".to_owned();
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])
        .is_ok_and(|files| !files.trim().is_empty());
    let mark = if changed { " and changes" } else { "" };
    format!("commit {}{mark}", commit.trim())
}

/// The first version number in what a program says about itself.
fn version(program: &str, argument: &str) -> String {
    let Ok(output) = Command::new(program).arg(argument).output() else {
        return "unknown version".to_owned();
    };
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    first_version(&said).unwrap_or("unknown version").to_owned()
}

fn first_version(said: &str) -> Option<&str> {
    said.split(|byte: char| byte.is_whitespace() || byte == '/' || byte == ',')
        .find(|word| {
            let is_number = word.starts_with(|first: char| first.is_ascii_digit());
            is_number && word.contains('.')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_in_what_programs_say() {
        let haproxy = "HAProxy version 2.6.12-1+deb12u4 2026/10/30 - https://haproxy.org/\n";
        assert_eq!(first_version(haproxy), Some("2.6.12-1+deb12u4"));
        assert_eq!(first_version("nginx version: nginx/1.22.1"), Some("1.22.1"));
        assert_eq!(first_version("Kerberos 5 release 1.20.1"), Some("1.20.1"));
        assert_eq!(first_version("nothing"), None);
    }
}
