//! SPNEGO tokens of a user, made in advance: each can be used once.
//!
//! A process of its own makes them (`bench token`), since ticket cache and `krb5.conf` are named by
//! the environment of a process.

use std::{
    io::{BufWriter, Write, stdout},
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context, Result, bail, ensure};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use libgssapi::{
    context::{ClientCtx, CtxFlags},
    name::Name,
    oid::{GSS_MECH_SPNEGO, GSS_NT_KRB5_PRINCIPAL},
};

/// The hidden command that makes them.
pub const COMMAND: &str = "token";

/// Runs `program`, which is this one in a user's environment, to make this many tokens for a
/// service.
pub(super) fn fetch(mut program: Command, service: &str, count: usize) -> Result<Vec<String>> {
    program.args([COMMAND, service, &count.to_string()]);
    let output = program
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start the maker of tokens")?;
    ensure!(output.status.success(), "no tokens for {service}");
    let text = String::from_utf8(output.stdout)?;
    let tokens: Vec<_> = text.lines().map(str::to_owned).collect();
    ensure!(tokens.len() == count, "too few tokens for {service}");
    Ok(tokens)
}

/// The hidden command: prints tokens, one a line, in base64.
pub fn main(arguments: &[String]) -> Result<()> {
    let [service, count] = arguments else {
        bail!("token wants a service and a number");
    };
    let count: usize = count.parse()?;
    // The first one fetches the service's ticket; the others find it in the cache.
    make(service, 1)?;
    let threads = thread::available_parallelism()?.get();
    let parts = thread::scope(|scope| {
        let makers: Vec<_> = (0..threads)
            .map(|number| {
                let share = count / threads + usize::from(number < count % threads);
                scope.spawn(move || make(service, share))
            })
            .collect();
        makers
            .into_iter()
            .map(|maker| match maker.join() {
                Ok(made) => made,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect::<Result<Vec<_>>>()
    })?;
    let mut out = BufWriter::new(stdout().lock());
    for token in parts.iter().flatten() {
        writeln!(out, "{}", BASE64_STANDARD.encode(token))?;
    }
    Ok(out.flush()?)
}

/// Tokens as curl makes them: SPNEGO, mutual authentication.
fn make(service: &str, count: usize) -> Result<Vec<Vec<u8>>> {
    let flags = CtxFlags::GSS_C_MUTUAL_FLAG | CtxFlags::GSS_C_REPLAY_FLAG;
    (0..count)
        .map(|_| {
            let name = Name::new(service.as_bytes(), Some(GSS_NT_KRB5_PRINCIPAL))?;
            let mut context = ClientCtx::new(None, name, flags, Some(GSS_MECH_SPNEGO));
            let token = context
                .step(None, None)
                .with_context(|| format!("no token for {service}"))?;
            Ok(token.context("GSSAPI gave no token")?.to_vec())
        })
        .collect()
}
