//! Tests against dishonest servers. Each connection gets the next answer of a script.

use crate::support::{LIMITS, LONG, announced, storage};
use std::net::SocketAddr;
use storage::{Bucket, StorageError};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// Opens a bucket on a server that sends these answers, one for each connection. The last one repeats
/// forever.
async fn liar(answers: Vec<String>) -> Bucket {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for turn in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else { break };
                head.push(byte);
            }
            let answer = &answers[turn.min(answers.len() - 1)];
            // The client may have closed the connection.
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    storage().bucket(&announced(address, None)).unwrap()
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}\r\n{body}")
}

async fn get(answers: &[String]) -> StorageError {
    liar(answers.to_vec()).await.get("k", &LIMITS).await.unwrap_err()
}

const BROKEN: &str = "content-length: 10\r\netag: \"one\"\r\n";

#[tokio::test]
async fn a_resumed_read_must_be_of_the_same_object() {
    let broken = answer("200 OK", BROKEN, "12345");
    let resumed = |status, headers: &str| [broken.clone(), answer(status, headers, "67890")];
    let good = "content-length: 5\r\netag: \"one\"\r\ncontent-range: bytes 5-9/10\r\n";
    let bucket = liar(resumed("206 Partial Content", good).to_vec()).await;
    assert_eq!(bucket.get("k", &LIMITS).await.unwrap().0, b"1234567890");

    let other = get(&resumed("206 Partial Content", &good.replace("one", "two"))).await;
    assert!(matches!(other, StorageError::Changed { .. }), "{other}");
    let condition =
        get(&[broken.clone(), answer("412 Precondition Failed", "content-length: 0\r\n", "")]).await;
    assert!(matches!(condition, StorageError::Changed { .. }), "{condition}");
    let shorter =
        get(&[broken.clone(), answer("416 Range Not Satisfiable", "content-length: 0\r\n", "")]).await;
    assert!(matches!(shorter, StorageError::Changed { .. }), "{shorter}");
    // The server ignores the requested range and sends a whole object.
    let whole = get(&resumed("200 OK", "content-length: 5\r\netag: \"one\"\r\n")).await;
    assert!(whole.to_string().contains("(not the requested range)"), "{whole}");
    let shifted = get(&resumed("206 Partial Content", &good.replace("5-9/10", "4-8/10"))).await;
    assert!(shifted.to_string().contains("(not the requested range)"), "{shifted}");
    let silent = get(&resumed("206 Partial Content", &good.replace("etag: \"one\"\r\n", ""))).await;
    assert!(silent.to_string().contains("(the entity tag disappeared)"), "{silent}");
}

#[tokio::test]
async fn a_read_without_a_tag_cannot_go_on() {
    let error = get(&[answer("200 OK", "content-length: 10\r\n", "12345")]).await;
    assert!(error.to_string().contains("(no entity tag: cannot resume the download)"), "{error}");
}

#[tokio::test]
async fn what_is_no_http_is_unavailable() {
    for nonsense in ["", "220 mail.example.com ESMTP\r\n", "HTTP/1.1 banana\r\n\r\n"] {
        let error = get(&[nonsense.to_owned()]).await;
        assert!(matches!(error, StorageError::Unavailable { .. }), "{nonsense:?}: {error}");
    }
}

#[tokio::test]
async fn headers_that_lie_are_malformed_or_unavailable() {
    let huge = answer("200 OK", "content-length: 99999999999999999999\r\n", "");
    let error = get(&[huge]).await;
    assert!(matches!(error, StorageError::Unavailable { .. } | StorageError::Malformed { .. }), "{error}");
    let endless = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "a".repeat(4 << 20));
    let error = get(&[endless]).await;
    assert!(matches!(error, StorageError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn endless_errors_are_cut_off() {
    let error = get(&[answer("403 Forbidden", "content-length: 9999999\r\n", &"x".repeat(9_999_999))]).await;
    assert!(error.to_string().contains("(the answer is too long)"), "{error}");
}

#[tokio::test]
async fn lists_that_lie_are_malformed() {
    let list = |inner: &str| {
        let body = format!("<?xml version=\"1.0\"?><ListBucketResult>{inner}</ListBucketResult>");
        answer("200 OK", &format!("content-length: {}\r\n", body.len()), &body)
    };
    let foreign = liar(vec![list("<Contents><Key>other/1</Key><Size>5</Size></Contents>")]).await;
    let error = foreign.list("run/", None, 10, LONG).await.unwrap_err();
    assert!(error.to_string().contains("(an invalid list entry)"), "{error}");
    let endless =
        liar(vec![list("<IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken>")])
            .await;
    let error = endless.list("run/", None, 10, LONG).await.unwrap_err();
    assert!(error.to_string().contains("(an endless list)"), "{error}");
    let generous = "<Contents><Key>run/1</Key><Size>5</Size></Contents>".repeat(50);
    let listed = liar(vec![list(&generous)]).await.list("run/", None, 10, LONG).await.unwrap();
    assert_eq!(listed.len(), 10, "no more than requested");
}

#[tokio::test]
async fn a_closed_port_is_unavailable() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let bucket = storage().bucket(&announced(address, None)).unwrap();
    let error = bucket.get("k", &LIMITS).await.unwrap_err();
    assert!(matches!(error, StorageError::Unavailable { .. }), "{error}");
    assert!(base::ErrorChain(&error).to_string().contains("onnection refused"), "{error}");
}
