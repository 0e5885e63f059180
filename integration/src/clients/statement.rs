//! A Presto statement sent without a driver: the contents of its responses and their `nextUri`.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{
    clients::{load::Turn, turns},
    lab::Lab,
    machine::process::run,
    server::Server,
};

/// A query in which a worker must take part.
const COUNT: &str = "select count(*) from unnest(sequence(1, 5))";

/// The outcome of a statement.
#[derive(Clone, Debug, Default)]
pub struct Statement {
    /// The query's id.
    pub id: String,
    /// Every URI in its responses.
    pub uris: Vec<String>,
    /// Its rows.
    pub rows: Vec<Value>,
    /// Its error, if it failed.
    pub error: Option<String>,
    /// The URI of the next request, unless the statement has ended.
    pub next: Option<String>,
}

impl Statement {
    /// Sends a statement to Presto at `base`; `curl` is authenticated as the user.
    pub fn begin(mut curl: Command, base: &str, sql: &str) -> Result<Statement> {
        curl.args(["--data-raw", sql])
            .arg(format!("{base}/v1/statement"));
        let mut statement = Statement::default();
        statement.read(&run(curl)?)?;
        Ok(statement)
    }

    /// Requests the next URI; returns whether there was one.
    pub fn step(&mut self, mut curl: Command) -> Result<bool> {
        let Some(next) = &self.next else {
            return Ok(false);
        };
        curl.arg(next);
        self.read(&run(curl)?)?;
        Ok(true)
    }

    /// Sends a statement and reads all of its responses.
    pub fn run(curl: impl Fn() -> Result<Command>, base: &str, sql: &str) -> Result<Statement> {
        let mut statement = Statement::begin(curl()?, base, sql)?;
        while statement.step(curl()?)? {}
        Ok(statement)
    }

    /// One repetition of a load: a statement that must return these rows.
    pub fn turn(curl: impl Fn() -> Result<Command>, base: &str, sql: &str, rows: &Value) -> Turn {
        match Statement::run(curl, base, sql) {
            Ok(statement) if Value::from(statement.rows.clone()) == *rows => Turn::Done,
            Ok(statement) => Turn::Failed(format!("{statement:?}")),
            Err(error) => turns::failed(&error.to_string()),
        }
    }

    fn read(&mut self, text: &str) -> Result<()> {
        let answer: Value =
            serde_json::from_str(text).with_context(|| format!("no JSON: {text}"))?;
        let word = |value: &Value| value.as_str().map(str::to_owned);
        self.id = word(&answer["id"]).with_context(|| format!("no id: {text}"))?;
        self.next = word(&answer["nextUri"]);
        self.error = word(&answer["error"]["message"]);
        collect_uris(&answer, &mut self.uris);
        if let Some(rows) = answer["data"].as_array() {
            self.rows.extend(rows.iter().cloned());
        }
        Ok(())
    }
}

impl Lab {
    /// Whether a coordinator answers a query, which begins some seconds after it listens and
    /// reports that it is up.
    pub(crate) fn answers_queries(&self, server: Server) -> bool {
        let curl = || {
            let mut curl = self.curl("alice")?;
            let field = match server {
                Server::Trino => "X-Trino-User: alice",
                _ => "X-Presto-User: alice",
            };
            curl.args(["--fail", "-H", field, "--cacert"]);
            curl.arg(self.tls(&format!("{}.pem", server.host())));
            if let Some(service) = server.service() {
                curl.args(["--service-name", service]);
            }
            Ok(curl)
        };
        let statement = Statement::run(curl, &server.url().unwrap_or_default(), COUNT);
        statement.is_ok_and(|statement| statement.rows == [serde_json::json!([5])])
    }
}

fn collect_uris(value: &Value, uris: &mut Vec<String>) {
    match value {
        Value::String(text) if text.starts_with("http") => uris.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect_uris(item, uris)),
        Value::Object(fields) => fields.values().for_each(|item| collect_uris(item, uris)),
        _ => {}
    }
}
