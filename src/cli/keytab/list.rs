//! `spnegate keytab list`

use std::io::Write;

use serde_json::json;

use super::{KeytabCommandError, ListArguments, date::utc};
use crate::gss::Keytab;

/// Writes principals, versions, encryption types and dates, in file order; never a key.
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
        let (kvno, written) = (entry.kvno, utc(entry.timestamp));
        writeln!(
            out,
            "{kvno:>5}  {written:20}  {enctype:24}  {}",
            entry.principal
        )?;
    }
    Ok(())
}
