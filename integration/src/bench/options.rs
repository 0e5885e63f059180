//! The options of a run.

use std::{path::PathBuf, str::FromStr, time::Duration};

use anyhow::{Context, Result, bail};

use super::who::Who;

/// The command line's help.
pub const USAGE: &str = "\
usage: bench [--quick] [--rounds N] [--only NAME]... [--without NAME]... [--size MIB]
             [--gateway PROGRAM] [--out FOLDER]
  --quick          short rounds, to see that everything works; the figures are worth little
  --rounds N       rounds of each measurement (11)
  --only NAME      one part: relay, stream, login, memory, status or transfer; may be
                   given again
  --without NAME   leave one out: haproxy, nginx, httpd, spnegate or spnegate-logged
  --size MIB       size of the file of `transfer`, and bytes of `stream` (1024)
  --gateway FILE   the gateway's program (spnegate beside this one)
  --out FOLDER     where the result is written (benches)";

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// GET of 4 KiB through everything, and latencies.
    Relay,
    /// Relayed TCP and UDP ports, and the spread of the balancing algorithms.
    Stream,
    /// SPNEGO logins.
    Login,
    /// Sessions and idle connections.
    Memory,
    /// WebHDFS `GETFILESTATUS`.
    Status,
    /// WebHDFS PUT and GET of a large file.
    Transfer,
}

/// How a run is done.
#[derive(Clone, Debug)]
pub struct Options {
    /// Rounds of each measurement.
    pub rounds: usize,
    /// The parts to be run.
    pub parts: Vec<Part>,
    /// Contenders that are left out.
    pub without: Vec<Who>,
    /// How long one measurement of a rate lasts.
    pub time: Duration,
    /// Logins of one measurement.
    pub logins: usize,
    /// Sessions whose memory is measured.
    pub sessions: usize,
    /// Idle connections whose memory is measured.
    pub idle: usize,
    /// Size of the large file and of the bytes through a relayed port, MiB.
    pub size: u32,
    /// The gateway's program.
    pub gateway: PathBuf,
    /// Where the result is written.
    pub out: PathBuf,
}

impl Options {
    /// Reads the command line; `None` when it asks for help.
    pub fn parse(arguments: &[String]) -> Result<Option<Options>> {
        let mut options = Options {
            rounds: 11,
            parts: Vec::new(),
            without: Vec::new(),
            time: Duration::from_secs(1),
            logins: 8000,
            sessions: 20_000,
            idle: 5000,
            size: 1024,
            gateway: beside_this_program()?,
            out: PathBuf::from("benches"),
        };
        if arguments.iter().any(|word| word == "--quick") {
            options.rounds = 2;
            options.time = Duration::from_millis(500);
            options.logins = 500;
            options.sessions = 2000;
            options.idle = 500;
            options.size = 64;
        }
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || {
                words
                    .next()
                    .with_context(|| format!("{word} wants a value; see --help"))
            };
            match word.as_str() {
                "--quick" => {}
                "--help" | "-h" => return Ok(None),
                "--rounds" => options.rounds = number(value()?)?,
                "--only" => options.parts.push(value()?.parse()?),
                "--without" => options.without.push(optional(value()?)?),
                "--size" => options.size = u32::try_from(number(value()?)?)?,
                "--gateway" => options.gateway = PathBuf::from(value()?),
                "--out" => options.out = PathBuf::from(value()?),
                _ => bail!("there is no option {word}; see --help"),
            }
        }
        if options.parts.is_empty() {
            options.parts = Part::ALL.to_vec();
        }
        if !options.gateway.exists() && options.has(Who::Gateway) {
            bail!(
                "{} is not there; build it by `cargo build --release --bin spnegate`, or name \
                 another by --gateway",
                options.gateway.display()
            );
        }
        Ok(Some(options))
    }

    /// Whether a part is to be run.
    pub fn runs(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    /// Whether a contender takes part; without the gateway, the gateway with an access log is left
    /// out too.
    pub fn has(&self, who: Who) -> bool {
        !self.without.contains(&who)
            && (who != Who::GatewayLogged || !self.without.contains(&Who::Gateway))
    }
}

impl Part {
    /// All, in the order they are run.
    pub const ALL: [Part; 6] = [
        Part::Relay,
        Part::Stream,
        Part::Login,
        Part::Memory,
        Part::Status,
        Part::Transfer,
    ];

    /// Its name on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Part::Relay => "relay",
            Part::Stream => "stream",
            Part::Login => "login",
            Part::Memory => "memory",
            Part::Status => "status",
            Part::Transfer => "transfer",
        }
    }
}

impl FromStr for Part {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> Result<Part> {
        Part::ALL
            .into_iter()
            .find(|part| part.word() == word)
            .with_context(|| format!("there is no part {word}; see --help"))
    }
}

fn optional(word: &str) -> Result<Who> {
    Who::OPTIONAL
        .into_iter()
        .find(|who| who.word() == word)
        .with_context(|| format!("{word} cannot be left out; see --help"))
}

fn number(word: &str) -> Result<usize> {
    match word.parse() {
        Ok(number) if number > 0 => Ok(number),
        Ok(_) | Err(_) => bail!("{word} is no number above 0"),
    }
}

fn beside_this_program() -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("spnegate"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Option<Options>> {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        Options::parse(&words)
    }

    #[test]
    fn parts_and_those_left_out_are_read() {
        let words = ["--only", "login", "--without", "spnegate", "--rounds", "7"];
        let options = parse(&words).unwrap().unwrap();
        assert_eq!(options.parts, [Part::Login]);
        assert_eq!(options.rounds, 7);
        assert!(!options.has(Who::GatewayLogged));
        assert!(options.has(Who::Nginx));
    }

    #[test]
    fn wrong_words_are_refused() {
        for words in [
            &["--only"][..],
            &["--only", "x"],
            &["--rounds", "0"],
            &["x"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
        assert!(parse(&["--help"]).unwrap().is_none());
    }
}
