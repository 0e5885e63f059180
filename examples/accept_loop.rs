//! Measures logins per second: a plain `gss_accept_sec_context` loop on every core, and [`Acceptor`].
//!
//! `KRB5_KTNAME=KEYTAB cargo run --release --example accept_loop -- KEYTAB CLIENT SPN [TOKENS]` with a
//! running KDC; the keytab holds keys of both. The plain loop does what a server in C would do: one
//! thread per core, each with its own default credential (the reason why the environment must name the
//! keytab), and each context is released. Both use the same kind of replay cache. The rounds alternate,
//! so that other load on the machine affects both.

use std::{
    env,
    error::Error,
    fmt, fs,
    io::{Write, stdout},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use libgssapi::{
    context::{SecurityContext, ServerCtx},
    credential::{Cred, CredUsage},
    oid::{GSS_MECH_KRB5, GSS_MECH_SPNEGO, OidSet},
};
use spnegate::gss::{
    Acceptor, AcceptorOptions, Initiator, InitiatorOptions, LoginStep, Principal, ReplayCache,
};

type Failure = Box<dyn Error + Send + Sync>;

/// The number of concurrent logins.
const CLIENTS: usize = 64;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [keytab, client, spn, rest @ ..] = arguments.as_slice() else {
        return Err("usage: accept_loop KEYTAB CLIENT SPN [TOKENS]".into());
    };
    let count: usize = rest.first().map_or(Ok(20_000), |text| text.parse())?;
    let (client, spn): (Principal, Principal) = (client.parse()?, spn.parse()?);
    let threads = thread::available_parallelism()?.get();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let initiator = Initiator::start(InitiatorOptions {
        keytab: keytab.into(),
        threads,
        queue: 1024,
        deadline: Duration::from_secs(5),
    })?;
    let acceptor = Acceptor::start(AcceptorOptions {
        keytab: keytab.into(),
        replay_cache: match env::var_os("KRB5RCACHENAME") {
            Some(name) if name == "none:" => ReplayCache::None,
            Some(_) | None => ReplayCache::default(),
        },
        threads,
        queue: 1024,
        deadline: Duration::from_secs(5),
    })?;
    let mut out = stdout().lock();
    writeln!(
        out,
        "{threads} threads, {count} tokens per run; logins per second"
    )?;
    for round in 1..=5 {
        let tokens = || runtime.block_on(make(&initiator, &client, &spn, count));
        let bare = measure(count, tokens()?, |tokens| bare(threads, &tokens))?;
        let ours = measure(count, tokens()?, |tokens| {
            runtime.block_on(ours(&acceptor, tokens))
        })?;
        writeln!(out, "{round}: bare {bare}, acceptor {ours}")?;
    }
    Ok(())
}

/// Logins per second, and CPU time per login, which depends less on other load.
struct Cost {
    rate: f64,
    processor: f64,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rate, processor } = self;
        write!(f, "{rate:.0}/s ({processor:.1} µs CPU)")
    }
}

fn measure(
    count: usize,
    tokens: Vec<Vec<u8>>,
    run: impl FnOnce(Vec<Vec<u8>>) -> Result<(), Failure>,
) -> Result<Cost, Failure> {
    let (start, before) = (Instant::now(), ticks()?);
    run(tokens)?;
    let count = f64::from(u32::try_from(count)?);
    Ok(Cost {
        rate: count / start.elapsed().as_secs_f64(),
        // USER_HZ is 100 on every Linux, so a tick is 10,000 µs.
        processor: f64::from(ticks()? - before) * 10_000.0 / count,
    })
}

/// User and system time of this process.
fn ticks() -> Result<u32, Failure> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat
        .rsplit_once(')')
        .ok_or("no command in /proc/self/stat")?;
    let mut times = fields.split_whitespace().skip(11).take(2);
    times.try_fold(0, |sum, ticks| Ok(sum + ticks.parse::<u32>()?))
}

async fn make(
    initiator: &Initiator,
    client: &Principal,
    spn: &Principal,
    count: usize,
) -> Result<Vec<Vec<u8>>, Failure> {
    let mut tokens = Vec::with_capacity(count);
    while tokens.len() < count {
        let batch = CLIENTS.min(count - tokens.len());
        let made = join_all((0..batch).map(|_| initiator.token(client, spn))).await;
        for token in made {
            tokens.push(token?.token);
        }
    }
    Ok(tokens)
}

fn bare(threads: usize, tokens: &[Vec<u8>]) -> Result<(), Failure> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<(), Failure> {
        let mut mechanisms = OidSet::singleton(GSS_MECH_KRB5)?;
        mechanisms.add(GSS_MECH_SPNEGO)?;
        let cred = Cred::acquire(None, None, CredUsage::Accept, Some(&mechanisms))?;
        while let Some(token) = tokens.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut context = ServerCtx::new(Some(cred.clone()));
            context.step(token, None)?;
            // The client's name costs extra: with NAMES set, the loop gets it too, as every server
            // must.
            if env::var_os("NAMES").is_some() {
                context.source_name()?.display_name()?;
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
    })
}

async fn ours(acceptor: &Acceptor, tokens: Vec<Vec<u8>>) -> Result<(), Failure> {
    let tokens = std::cell::RefCell::new(tokens.into_iter());
    let work = || async {
        loop {
            let Some(token) = tokens.borrow_mut().next() else {
                return Ok::<(), Failure>(());
            };
            match acceptor.accept(token, None, None).await? {
                LoginStep::Done(_) => {}
                LoginStep::Continue { .. } => return Err("another token is needed".into()),
            }
        }
    };
    for result in join_all((0..CLIENTS).map(|_| work())).await {
        result?;
    }
    Ok(())
}
