//! A blocking client for single requests and for bodies of any size.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use super::http::{Answer, Head, Length, chunk_size, find};

/// Longer than any response takes, even with a busy disk.
const PATIENCE: Duration = Duration::from_secs(60);
const BLOCK: usize = 256 * 1024;

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects.
    pub fn connect(target: SocketAddr) -> Result<Client> {
        let stream =
            TcpStream::connect(target).with_context(|| format!("cannot connect to {target}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client {
            stream,
            buffer: Vec::new(),
        })
    }

    /// The connection alone, to be kept open.
    pub fn idle(self) -> TcpStream {
        self.stream
    }

    /// Sends a request without a body and reads the whole response.
    pub fn exchange(&mut self, request: &[u8]) -> Result<Answer<'_>> {
        self.send(request)?;
        self.answer()
    }

    /// Sends bytes of a request.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).context("cannot send")
    }

    /// Reads a complete small response.
    pub fn answer(&mut self) -> Result<Answer<'_>> {
        self.buffer.clear();
        loop {
            let read = self.fill()?;
            if Answer::parse(&self.buffer, read == 0)?.is_some() {
                break;
            }
        }
        // Parsed twice for the borrow checker: the loop cannot return a value that borrows from the
        // buffer.
        Answer::parse(&self.buffer, true)?.context("an answer that was whole")
    }

    /// Reads a response with status 200 and passes its body to `take` in pieces.
    pub fn stream(&mut self, take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.buffer.clear();
        let head = loop {
            let read = self.fill()?;
            if let Some(head) = Head::parse(&self.buffer)? {
                break head;
            }
            ensure!(read > 0, "the connection ended before an answer");
        };
        if head.status != 200 {
            let body = String::from_utf8_lossy(&self.buffer[head.size..]);
            bail!("status {} in place of 200: {body}", head.status);
        }
        self.buffer.drain(..head.size);
        match head.length {
            Length::Known(length) => self.pass(length, take),
            Length::UntilClose => loop {
                take(&self.buffer)?;
                self.buffer.clear();
                if self.fill()? == 0 {
                    return Ok(());
                }
            },
            Length::Chunked => loop {
                let end = self.line()?;
                let size = chunk_size(&self.buffer[..end])?;
                self.buffer.drain(..end + 2);
                self.pass(u64::try_from(size)?, take)?;
                let end = self.line()?;
                self.buffer.drain(..end + 2);
                if size == 0 {
                    return Ok(());
                }
            },
        }
    }

    /// Passes on this many bytes.
    fn pass(&mut self, mut rest: u64, take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        while rest > 0 {
            if self.buffer.is_empty() {
                let read = self.fill()?;
                ensure!(read > 0, "the connection ended {rest} bytes too early");
            }
            let here = self.buffer.len().min(usize::try_from(rest)?);
            take(&self.buffer[..here])?;
            self.buffer.drain(..here);
            rest -= u64::try_from(here)?;
        }
        Ok(())
    }

    /// The end of the buffer's first line.
    fn line(&mut self) -> Result<usize> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                return Ok(end);
            }
            let read = self.fill()?;
            ensure!(read > 0, "the connection ended within a chunked body");
        }
    }

    fn fill(&mut self) -> Result<usize> {
        let from = self.buffer.len();
        self.buffer.resize(from + BLOCK, 0);
        let read = self.stream.read(&mut self.buffer[from..]);
        let length = from + *read.as_ref().unwrap_or(&0);
        self.buffer.truncate(length);
        read.context("no answer")
    }
}
