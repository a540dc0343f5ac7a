//! Tests which requests are answered: those of programs and pages of this machine, and of web pages
//! that are listed.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::*;

/// Sends a WebSocket handshake with these headers. Returns the answer's status line, and all that was
/// read of it.
async fn handshake(address: SocketAddr, headers: &str) -> (String, String) {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let request = format!("GET / HTTP/1.1\r\n{upgrade}{headers}\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    answer(&mut socket).await
}

/// Reads the headers and as many bytes of a body as they announce.
async fn answer(socket: &mut TcpStream) -> (String, String) {
    let mut text = String::new();
    while !is_complete(&text) {
        let mut bytes = [0; 1024];
        let length = patiently(socket.read(&mut bytes)).await.unwrap();
        assert_ne!(length, 0, "the answer ends early: {text}");
        text.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
    }
    (text.lines().next().unwrap().to_owned(), text)
}

fn is_complete(text: &str) -> bool {
    let Some((headers, body)) = text.split_once("\r\n\r\n") else { return false };
    let announced = headers.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= announced.map_or(0, |length| length.parse().unwrap())
}

#[tokio::test]
async fn web_pages_of_elsewhere_are_refused_unless_listed() {
    let mut config = paced();
    config.rpc.origins = vec!["https://polkadot.js.org".into()];
    let chain = start(config).await;
    let address = chain.address();
    let welcome = [
        "Host: 127.0.0.1:9944\r\n",
        "Host: localhost:9944\r\n",
        "Host: 127.0.0.1:9944\r\nOrigin: http://localhost:3000\r\n",
        "Host: 127.0.0.1:9944\r\nOrigin: https://polkadot.js.org\r\n",
    ];
    for headers in welcome {
        let (status, _) = handshake(address, headers).await;
        assert_eq!(status, "HTTP/1.1 101 Switching Protocols", "{headers}");
    }
    let strangers = [
        ("Host: 127.0.0.1:9944\r\nOrigin: https://evil.example\r\n", "rpc.origins"),
        ("Host: 127.0.0.1:9944\r\nOrigin: null\r\n", "rpc.origins"),
        ("Host: evil.example\r\n", "localhost"),
        ("Host: evil.example:9944\r\nOrigin: http://evil.example:9944\r\n", "localhost"),
    ];
    for (headers, hint) in strangers {
        let (status, text) = handshake(address, headers).await;
        assert_eq!(status, "HTTP/1.1 403 Forbidden", "{headers}");
        assert!(text.contains(hint), "{text}");
    }
}

#[tokio::test]
async fn a_page_whose_name_was_pointed_here_cannot_post() {
    let chain = start(paced()).await;
    for (host, expected) in [("evil.example", "HTTP/1.1 403 Forbidden"), ("127.0.0.1", "HTTP/1.1 200 OK")] {
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"dev_newBlock","params":[]}"#;
        let mut socket = TcpStream::connect(chain.address()).await.unwrap();
        let request = format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(answer(&mut socket).await.0, expected, "{host}");
    }
    assert_eq!(chain.handle().status().await.unwrap().node.height, 1, "the first one was not carried out");
}
