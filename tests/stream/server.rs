//! Servers behind the gateway: threads that end with the test program.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// A TCP server.
#[derive(Clone)]
pub struct Server {
    pub address: SocketAddr,
    served: Arc<AtomicUsize>,
}

impl Server {
    /// Calls `serve` for each connection, on a new thread.
    pub fn start(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> Self {
        Self::at("127.0.0.1:0", serve)
    }

    pub fn at(address: &str, serve: impl Fn(TcpStream) + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            served: Arc::default(),
        };
        thread::spawn(move || {
            for tcp in listener.incoming() {
                let (serve, tcp) = (serve.clone(), tcp.unwrap());
                thread::spawn(move || serve(tcp));
            }
        });
        server
    }

    /// The same, and counts connections on which a client sends bytes.
    pub fn counting(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> Self {
        let served: Arc<AtomicUsize> = Arc::default();
        let mine = Arc::clone(&served);
        let started = Self::start(move |tcp| {
            // a health check sends nothing
            if tcp.peek(&mut [0]).is_ok_and(|bytes| bytes > 0) {
                mine.fetch_add(1, Ordering::SeqCst);
            }
            serve(tcp);
        });
        Self { served, ..started }
    }

    /// Sends its name, then echoes all bytes.
    pub fn echo(name: &'static str) -> Self {
        Self::start(move |mut tcp| {
            let mut buffer = [0; 4096];
            if tcp.write_all(name.as_bytes()).is_err() {
                return;
            }
            while let Ok(read @ 1..) = tcp.read(&mut buffer) {
                if tcp.write_all(&buffer[..read]).is_err() {
                    return;
                }
            }
        })
    }

    /// Reads to the end, then sends the number of bytes.
    pub fn count() -> Self {
        Self::counting(|mut tcp| {
            let mut bytes = Vec::new();
            if tcp.read_to_end(&mut bytes).is_ok() {
                let _ = write!(tcp, "{}", bytes.len());
                let _ = tcp.shutdown(Shutdown::Write);
            }
        })
    }

    /// The number of connections on which a client sent bytes.
    pub fn served(&self) -> usize {
        self.served.load(Ordering::SeqCst)
    }
}

/// A port on which nothing listens.
pub fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// A UDP server that calls `serve` with each datagram and its sender.
pub fn datagrams(serve: impl Fn(&UdpSocket, &[u8], SocketAddr) + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            serve(&socket, &buffer[..length], from);
        }
    });
    address
}
