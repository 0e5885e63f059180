//! `lab`: the lab as a program, for the demo, the benchmark and for looking around.

use std::{
    env,
    fs::{self, File},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use lab::{Filter, Lab, Server, World, control, default_folder, hadoop_tool, install};

const USAGE: &str = "\
usage: lab up [--dir DIR] [--keep] [--plain-filter] [NAMES...]
                             start servers (kdc zk jn nn1 nn2 zkfc1 zkfc2 dn1 rm1 rm2 nm1 jhs
                             httpfs oozie presto presto2 presto-tls hive trino) or groups (hdfs
                             yarn demo hadoop sql all) and all they need; hdfs if none is named.
                             --keep goes on with the folder's old data, --plain-filter makes
                             NodeManager and JobHistoryServer ignore doAs
       lab down [--dir DIR]  end everything
       lab status            what runs, where, and with how much memory
       lab env               variables for a shell: eval \"$(lab env)\"
       lab exec [--as PRINCIPAL] COMMAND...
                             run a command in the lab's world, with a principal's tickets
       lab hadoop [--as PRINCIPAL] fs|haadmin|rmadmin|app|examples|CLASS ...
                             run a Hadoop client in the lab
       lab kill|term|pause|resume|start NAME
       lab failover FROM TO  hand over from one NameNode to the other
       lab principal|kinit|rotate-key|change-key|append-key PRINCIPAL
       lab install           install the Debian packages the lab runs on
Every command takes --dir; the default is $SPNEGATE_LAB_DIR, or a folder below the temporary one.
Users: alice, bob, carol, with their names as passwords.";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: Vec<String>) -> Result<ExitCode> {
    let verb = if arguments.is_empty() {
        "help".to_owned()
    } else {
        arguments.remove(0)
    };
    // A command to be run keeps its own options: those of `exec` come before it.
    let is_ours = !matches!(verb.as_str(), "exec" | "hadoop")
        || arguments.first().is_some_and(|word| word == "--dir");
    let folder = match is_ours
        .then(|| option(&mut arguments, "--dir"))
        .transpose()?
        .flatten()
    {
        Some(folder) => std::path::absolute(folder)?,
        None => default_folder(),
    };
    match verb.as_str() {
        "up" => up(&folder, &arguments)?,
        "supervise" => supervise(&folder, arguments)?,
        "install" => install::install()?,
        "env" => print!("{}", World::of(&folder)?.exports()),
        "exec" => return Err(exec(&folder, arguments)),
        "hadoop" => return Err(hadoop(&folder, arguments)),
        "help" | "--help" | "-h" => println!("{USAGE}"),
        "down" if !control::is_up(&folder) => {
            eprintln!("no lab is running in {}", folder.display());
        }
        "down" | "status" | "kill" | "term" | "pause" | "resume" | "start" | "failover"
        | "principal" | "kinit" | "rotate-key" | "change-key" | "append-key" => {
            let words: Vec<_> = [verb.as_str()]
                .into_iter()
                .chain(arguments.iter().map(String::as_str))
                .collect();
            print!("{}", control::request(&folder, &words)?);
        }
        _ => bail!("there is no command {verb}\n{USAGE}"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Takes an option and its value out of the arguments.
fn option(arguments: &mut Vec<String>, name: &str) -> Result<Option<String>> {
    let Some(at) = arguments.iter().position(|word| word == name) else {
        return Ok(None);
    };
    ensure!(at + 1 < arguments.len(), "{name} wants a value");
    arguments.remove(at);
    Ok(Some(arguments.remove(at)))
}

/// Takes an option without a value out of the arguments.
fn flag(arguments: &mut Vec<String>, name: &str) -> bool {
    let before = arguments.len();
    arguments.retain(|word| word != name);
    arguments.len() < before
}

/// Starts the supervisor, shows what it says, and leaves it when the lab is ready.
fn up(folder: &Path, arguments: &[String]) -> Result<()> {
    if control::is_up(folder) {
        eprintln!("a lab is running in {} already", folder.display());
        return Ok(());
    }
    // Mistyped names are told here.
    servers(arguments.iter().filter(|word| !word.starts_with("--")))?;
    let log = PathBuf::from(format!("{}.log", folder.display()));
    if let Some(parent) = log.parent() {
        fs::create_dir_all(parent)?;
    }
    let out = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = Command::new(env::current_exe()?);
    command
        .arg("supervise")
        .arg("--dir")
        .arg(folder)
        .args(arguments);
    command
        .stdin(Stdio::piped())
        .stdout(out.try_clone()?)
        .stderr(out);
    lab::in_own_session(&mut command);
    let mut supervisor = command.spawn()?;
    let mut shown = 0;
    loop {
        let ended = supervisor.try_wait()?;
        let ready = ended.is_none() && control::is_up(folder);
        shown = show(&log, shown)?;
        if let Some(status) = ended {
            bail!("the lab did not start ({status})");
        }
        if ready {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    let mut stdin = supervisor
        .stdin
        .take()
        .context("the supervisor has a standard input")?;
    writeln!(stdin, "{}", control::STAY)?;
    Ok(())
}

/// Copies what is new in the log to standard error.
fn show(log: &Path, from: u64) -> Result<u64> {
    let mut file = File::open(log)?;
    file.seek(SeekFrom::Start(from))?;
    let mut text = String::new();
    let length = file.read_to_string(&mut text)?;
    eprint!("{text}");
    Ok(from + length as u64)
}

/// The process behind `lab up`: holds the lab until `lab down`.
fn supervise(folder: &Path, mut arguments: Vec<String>) -> Result<()> {
    control::end_with_starter();
    let mut builder = Lab::builder().folder(folder);
    if flag(&mut arguments, "--keep") {
        builder = builder.keep_data();
    }
    if flag(&mut arguments, "--plain-filter") {
        builder = builder.filter(Filter::Plain);
    }
    if let Some(unknown) = arguments.iter().find(|word| word.starts_with("--")) {
        bail!("there is no option {unknown}");
    }
    control::serve(&builder.with(servers(arguments.iter())?).start()?)
}

fn servers<'w>(words: impl Iterator<Item = &'w String>) -> Result<Vec<Server>> {
    let mut servers = Vec::new();
    for word in words {
        servers.extend(Server::named(word)?);
    }
    if servers.is_empty() {
        servers = Server::HDFS.to_vec();
    }
    Ok(servers)
}

/// Becomes the command; returns only the error if it cannot.
fn exec(folder: &Path, mut arguments: Vec<String>) -> anyhow::Error {
    let mut prepare = || {
        let tickets = tickets(folder, &mut arguments)?;
        let world = World::of(folder)?;
        let world = if let Some(cache) = tickets {
            world.with_tickets(&cache)
        } else {
            world
        };
        let (program, rest) = arguments.split_first().context("exec wants a command")?;
        let mut command = world.command(program);
        command.args(rest);
        Ok(command)
    };
    become_command(prepare())
}

/// Becomes a Hadoop tool's JVM.
fn hadoop(folder: &Path, mut arguments: Vec<String>) -> anyhow::Error {
    let mut prepare = || {
        let tickets = tickets(folder, &mut arguments)?;
        let (tool, rest) = arguments
            .split_first()
            .context("hadoop wants a tool or a class")?;
        let mut command = hadoop_tool(folder, tool)?;
        if let Some(cache) = tickets {
            command.env("KRB5CCNAME", format!("FILE:{}", cache.display()));
        }
        command.args(rest);
        Ok(command)
    };
    become_command(prepare())
}

/// The ticket cache of the principal that a leading `--as` names.
fn tickets(folder: &Path, arguments: &mut Vec<String>) -> Result<Option<PathBuf>> {
    if arguments.first().is_none_or(|word| word != "--as") {
        return Ok(None);
    }
    let principal = option(arguments, "--as")?.unwrap_or_default();
    let cache = control::request(folder, &["kinit", &principal])?;
    Ok(Some(PathBuf::from(cache.trim())))
}

fn become_command(command: Result<Command>) -> anyhow::Error {
    match command {
        Ok(mut command) => anyhow::Error::new(command.exec()).context("cannot run the command"),
        Err(error) => error,
    }
}
