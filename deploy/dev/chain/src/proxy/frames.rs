//! The frames of a websocket (RFC 6455, section 5.2).

use std::io;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The largest payload, in bytes. The metadata of a runtime fits, in hex.
const MAX_PAYLOAD: u64 = 64 << 20;
/// The first byte of a text message in one frame.
const WHOLE_TEXT: u8 = 0x81;
/// The bit of the second byte that tells that the payload is masked.
const MASKED: u8 = 0x80;

/// A frame as it was read.
pub(super) struct Frame {
    bytes: Vec<u8>,
    /// The place of the payload in `bytes`.
    payload: usize,
    mask: Option<[u8; 4]>,
}

impl Frame {
    /// Reads the next frame.
    pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut bytes = vec![0; 2];
        from.read_exact(&mut bytes).await?;
        let is_masked = bytes[1] & MASKED != 0;
        let length = match bytes[1] & !MASKED {
            126 => {
                let length = from.read_u16().await?;
                bytes.extend(length.to_be_bytes());
                u64::from(length)
            }
            127 => {
                let length = from.read_u64().await?;
                bytes.extend(length.to_be_bytes());
                length
            }
            short => u64::from(short),
        };
        if length > MAX_PAYLOAD {
            return Err(io::Error::other("the frame is too long"));
        }
        let mut mask = None;
        if is_masked {
            let mut key = [0; 4];
            from.read_exact(&mut key).await?;
            bytes.extend(key);
            mask = Some(key);
        }
        let payload = bytes.len();
        bytes.resize(payload + length as usize, 0);
        from.read_exact(&mut bytes[payload..]).await?;
        Ok(Self { bytes, payload, mask })
    }

    /// Returns the frame as it was read.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the payload as JSON, if the frame is a whole text message of JSON.
    pub(super) fn json(&self) -> Option<Value> {
        if self.bytes[0] != WHOLE_TEXT {
            return None;
        }
        let mask = self.mask.unwrap_or_default();
        let payload = self.bytes[self.payload..].iter().zip(mask.iter().cycle());
        serde_json::from_slice(&payload.map(|(byte, mask)| byte ^ mask).collect::<Vec<u8>>()).ok()
    }

    /// Returns the bytes of an unmasked frame with a whole text message.
    pub(super) fn text(text: &str) -> Vec<u8> {
        let mut bytes = vec![WHOLE_TEXT];
        match text.len() {
            length @ 0..126 => bytes.push(length as u8),
            length @ 126..=0xffff => {
                bytes.push(126);
                bytes.extend((length as u16).to_be_bytes());
            }
            length => {
                bytes.push(127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend(text.as_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn texts_of_all_lengths_read_back() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 100_000] {
            let text = format!("\"{}\"", "x".repeat(length));
            let bytes = Frame::text(&text);
            let frame = Frame::read(&mut &bytes[..]).await.unwrap();
            assert_eq!(frame.bytes(), bytes);
            assert_eq!(frame.json(), Some(Value::String("x".repeat(length))));
        }
    }

    /// Reads an example like that of RFC 6455, section 5.7: a masked frame, here with JSON as its text.
    #[tokio::test]
    async fn masks_are_removed() {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let text = b"{\"method\":\"a\"}";
        let masked = text.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        let bytes: Vec<u8> =
            [WHOLE_TEXT, MASKED | text.len() as u8].into_iter().chain(mask).chain(masked).collect();
        let frame = Frame::read(&mut &bytes[..]).await.unwrap();
        assert_eq!(frame.json().unwrap()["method"], "a");
    }

    #[tokio::test]
    async fn frames_without_end_are_refused() {
        let bytes = [&[WHOLE_TEXT, 127][..], &u64::MAX.to_be_bytes()].concat();
        assert!(Frame::read(&mut &bytes[..]).await.is_err());
    }
}
