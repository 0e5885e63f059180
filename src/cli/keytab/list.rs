//! `spnegate keytab list`: shows the entries of a keytab file.

use std::io::Write;

use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{KeytabCommandError, ListArguments};
use crate::gss::Keytab;

/// Writes principals, versions, encryption types and dates in the order of the file, but no keys.
pub fn list(arguments: &ListArguments, out: &mut dyn Write) -> Result<(), KeytabCommandError> {
    let keytab = Keytab::load(&arguments.file)?;
    if arguments.json {
        let rows: Vec<_> = keytab
            .entries
            .iter()
            .map(|entry| {
                json!({
                    "principal": entry.principal.to_string(),
                    "kvno": entry.kvno,
                    "enctype": entry.enctype.to_string(),
                    "enctype_number": entry.enctype.0,
                    "weak": entry.enctype.is_weak(),
                    "written": entry.timestamp,
                })
            })
            .collect();
        writeln!(out, "{:#}", serde_json::Value::from(rows))?;
        return Ok(());
    }
    writeln!(
        out,
        "{:>5}  {:20}  {:24}  PRINCIPAL",
        "KVNO", "WRITTEN", "ENCTYPE"
    )?;
    for entry in &keytab.entries {
        let weak = if entry.enctype.is_weak() {
            " (weak)"
        } else {
            ""
        };
        let enctype = format!("{}{weak}", entry.enctype);
        let (kvno, written) = (entry.kvno, date(entry.timestamp));
        writeln!(
            out,
            "{kvno:>5}  {written:20}  {enctype:24}  {}",
            entry.principal
        )?;
    }
    Ok(())
}

/// Seconds since 1970 as `2026-11-23T01:09:22Z`, or `-` for 0, which some tools write.
fn date(seconds: u32) -> String {
    OffsetDateTime::from_unix_timestamp(seconds.into())
        .ok()
        .filter(|_| seconds != 0)
        .and_then(|date| date.format(&Rfc3339).ok())
        .unwrap_or_else(|| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_in_utc_and_an_unknown_one_is_a_dash() {
        for (seconds, text) in [
            (0, "-"),
            (1, "1970-01-01T00:00:01Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (u32::MAX, "2106-02-07T06:28:15Z"),
        ] {
            assert_eq!(date(seconds), text);
        }
    }
}
