//! The load generator: one thread, kept-alive or fresh connections, one request at a time on each.
//!
//! Existing generators do not combine two features: a different token for each request, and
//! latencies at a fixed rate measured from the moment a request was *due*, so that a proxy that
//! stalls cannot hide it by slowing down the client.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    num::NonZeroU64,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
    fd::OwnedFd,
};

use super::http::Answer;

/// Longer than any response takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// The requests, their rate and their target.
#[derive(Debug)]
pub struct Load<'a> {
    /// Where to connect to.
    pub target: SocketAddr,
    /// Connections at a time.
    pub connections: usize,
    /// What is sent.
    pub requests: Requests<'a>,
    /// When it is sent.
    pub pace: Pace,
    /// Whether each request gets a connection of its own.
    pub fresh: bool,
}

/// The requests of a load.
#[derive(Clone, Copy, Debug)]
pub enum Requests<'a> {
    /// The same one over and over for this time.
    Same(&'a [u8], Duration),
    /// Each of these once, in order.
    Each(&'a [Vec<u8>]),
}

/// When requests are sent.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// On each connection as soon as the previous response has arrived.
    Closed,
    /// At this rate per second, evenly, whether or not responses arrive.
    Rate(f64),
}

/// The result of a load.
#[derive(Debug)]
pub struct Outcome {
    /// Number of responses, all of them correct.
    pub answers: u32,
    /// From the first request to the last answer.
    pub time: Duration,
    /// Latency of each response from the moment its request was due; sorted.
    latencies: Vec<Duration>,
}

impl Outcome {
    /// Answers a second.
    pub fn rate(&self) -> f64 {
        f64::from(self.answers) / self.time.as_secs_f64()
    }

    /// The latency that this share of the responses did not exceed.
    pub fn quantile(&self, share: f64) -> Duration {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index of a vector from a share between 0 and 1"
        )]
        let at = (self.latencies.len() as f64 * share) as usize;
        let last = self.latencies.len().saturating_sub(1);
        self.latencies
            .get(at.min(last))
            .copied()
            .unwrap_or_default()
    }
}

impl Load<'_> {
    /// Sends the requests and passes every response to `check`, whose first error ends the load.
    pub fn run(&self, check: &mut dyn FnMut(&Answer<'_>) -> Result<()>) -> Result<Outcome> {
        // Otherwise sleeps last up to 50 µs longer than requested.
        rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
        let mut engine = Engine::new(self)?;
        engine.run(check)?;
        let mut latencies = engine.latencies;
        latencies.sort_unstable();
        Ok(Outcome {
            answers: u32::try_from(latencies.len())?,
            time: engine.last.duration_since(engine.begun),
            latencies,
        })
    }
}

/// A connection and the request in progress on it.
#[derive(Debug)]
struct Slot {
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
    filled: usize,
    due: Instant,
}

#[derive(Debug)]
struct Engine<'a> {
    load: &'a Load<'a>,
    epoll: OwnedFd,
    slots: Vec<Slot>,
    free: Vec<usize>,
    begun: Instant,
    last: Instant,
    sent: usize,
    latencies: Vec<Duration>,
}

impl<'a> Engine<'a> {
    fn new(load: &'a Load<'a>) -> Result<Engine<'a>> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let begun = Instant::now();
        let slot = || Slot {
            stream: None,
            buffer: vec![0; 32 * 1024],
            filled: 0,
            due: begun,
        };
        let mut engine = Engine {
            load,
            epoll,
            slots: (0..load.connections).map(|_| slot()).collect(),
            free: (0..load.connections).collect(),
            begun,
            last: begun,
            sent: 0,
            latencies: Vec::with_capacity(1 << 18),
        };
        if !load.fresh {
            for at in 0..load.connections {
                engine.connect(at)?;
            }
        }
        engine.begun = Instant::now();
        engine.last = engine.begun;
        Ok(engine)
    }

    fn run(&mut self, check: &mut dyn FnMut(&Answer<'_>) -> Result<()>) -> Result<()> {
        let mut events = Vec::with_capacity(self.load.connections);
        loop {
            let due = self.send_what_is_due()?;
            let busy = self.free.len() < self.slots.len();
            if due.is_none() && !busy {
                return Ok(());
            }
            // Without a free connection only a response can change anything.
            let wake = due.filter(|_| !self.free.is_empty());
            let wait = wake.map_or(PATIENCE, |due| {
                due.saturating_duration_since(Instant::now())
            });
            let timeout = Timespec::try_from(wait)?;
            let count = match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout))
            {
                Ok(count) => count,
                Err(rustix::io::Errno::INTR) => 0,
                Err(error) => return Err(error.into()),
            };
            ensure!(
                count > 0 || wake.is_some(),
                "no answer from {} in {} s",
                self.load.target,
                PATIENCE.as_secs()
            );
            for event in events.drain(..) {
                self.receive(usize::try_from(event.data.u64())?, check)?;
            }
        }
    }

    /// Sends all requests that are due on the free connections; returns when the next one is due,
    /// `None` at the end.
    fn send_what_is_due(&mut self) -> Result<Option<Instant>> {
        loop {
            let now = Instant::now();
            let due = match self.load.pace {
                Pace::Closed => now,
                Pace::Rate(rate) => {
                    let number = u32::try_from(self.sent)?;
                    self.begun + Duration::from_secs_f64(f64::from(number) / rate)
                }
            };
            let request = match self.load.requests {
                Requests::Same(request, time) => {
                    (due.duration_since(self.begun) < time).then_some(request)
                }
                Requests::Each(requests) => requests.get(self.sent).map(Vec::as_slice),
            };
            let Some(request) = request else {
                return Ok(None);
            };
            if due > now {
                return Ok(Some(due));
            }
            let Some(at) = self.free.pop() else {
                return Ok(Some(due));
            };
            self.send(at, request, due)?;
        }
    }

    fn connect(&mut self, at: usize) -> Result<()> {
        let target = self.load.target;
        let stream =
            TcpStream::connect(target).with_context(|| format!("cannot connect to {target}"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let data = epoll::EventData::new_u64(u64::try_from(at)?);
        epoll::add(&self.epoll, &stream, data, epoll::EventFlags::IN)?;
        self.slots[at].stream = Some(stream);
        Ok(())
    }

    fn send(&mut self, at: usize, request: &[u8], due: Instant) -> Result<()> {
        if self.slots[at].stream.is_none() {
            self.connect(at)?;
        }
        self.sent += 1;
        let slot = &mut self.slots[at];
        slot.due = due;
        slot.filled = 0;
        let stream = slot.stream.as_mut().context("a connected slot")?;
        // The previous request has been answered, so the whole request fits.
        stream
            .write_all(request)
            .with_context(|| format!("cannot send to {}", self.load.target))
    }

    fn receive(
        &mut self,
        at: usize,
        check: &mut dyn FnMut(&Answer<'_>) -> Result<()>,
    ) -> Result<()> {
        let slot = &mut self.slots[at];
        // Closed with an earlier event of the same batch.
        let Some(stream) = slot.stream.as_mut() else {
            return Ok(());
        };
        if slot.filled == slot.buffer.len() {
            slot.buffer.resize(slot.buffer.len() * 2, 0);
        }
        let read = match stream.read(&mut slot.buffer[slot.filled..]) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("cannot read an answer"),
        };
        if self.free.contains(&at) {
            bail!(
                "{} ended an idle connection, or sent what nobody asked for",
                self.load.target
            );
        }
        slot.filled += read;
        let Some(answer) = Answer::parse(&slot.buffer[..slot.filled], read == 0)? else {
            return Ok(());
        };
        let now = Instant::now();
        check(&answer)?;
        self.latencies.push(now.duration_since(slot.due));
        self.last = now;
        if self.load.fresh || read == 0 {
            slot.stream = None;
        }
        self.free.push(at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{io::BufRead, net::TcpListener, thread};

    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    /// A server that answers each line `GET…` with `answer`, until the test ends.
    fn server(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut out = stream.unwrap();
                let reader = io::BufReader::new(out.try_clone().unwrap());
                thread::spawn(move || {
                    for line in reader.lines().map_while(Result::ok) {
                        if line.starts_with("GET") && out.write_all(answer).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        address
    }

    fn load(target: SocketAddr, requests: Requests<'_>, pace: Pace, fresh: bool) -> Load<'_> {
        Load {
            target,
            connections: 3,
            requests,
            pace,
            fresh,
        }
    }

    #[test]
    fn each_request_is_sent_once_on_kept_and_on_fresh_connections() {
        let target = server(ANSWER);
        let requests = vec![b"GET /\r\n\r\n".to_vec(); 20];
        for fresh in [false, true] {
            let load = load(target, Requests::Each(&requests), Pace::Closed, fresh);
            let outcome = load.run(&mut |answer| answer.must_be(200, b"ok")).unwrap();
            assert_eq!(outcome.answers, 20);
            assert!(outcome.quantile(0.5) <= outcome.quantile(0.99));
        }
    }

    #[test]
    fn a_rate_sets_the_number_of_requests() {
        let target = server(ANSWER);
        let time = Duration::from_millis(100);
        let requests = Requests::Same(b"GET /\r\n\r\n", time);
        let outcome = load(target, requests, Pace::Rate(500.0), false)
            .run(&mut |_| Ok(()))
            .unwrap();
        assert_eq!(outcome.answers, 50);
    }

    #[test]
    fn a_wrong_answer_ends_the_load() {
        let target = server(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n");
        let requests = vec![b"GET /\r\n\r\n".to_vec(); 2];
        let load = load(target, Requests::Each(&requests), Pace::Closed, false);
        let error = load.run(&mut |answer| answer.must_have(200)).unwrap_err();
        assert!(error.to_string().contains("401"), "{error}");
    }
}
