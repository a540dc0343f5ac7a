//! The outcome of a transaction in its block: success with events, or a dispatch error.

use base::{BlockHash, ErrorChain, Height, UnixMillis};
use parity_scale_codec::{Compact, Decode, DecodeAll};
use sp_crypto_hashing::twox_128;
use subxt::{
    SubstrateConfig,
    error::{DispatchError, EventsError},
    events::{Events, Phase},
    utils::H256,
};

use crate::{Client, connection::Methods, error::ReadError, refusal::Refusal, runtime::Runtime};

/// An event that the runtime emitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainEvent {
    /// The pallet.
    pub pallet: String,
    /// The event's name.
    pub name: String,
    /// The event's fields, in SCALE.
    pub fields: Vec<u8>,
}

impl ChainEvent {
    /// Decodes the fields, if this is the event of that name and they decode.
    pub(crate) fn decode<T: Decode>(&self, pallet: &str, name: &str) -> Option<T> {
        let matches = self.pallet == pallet && self.name == name;
        matches.then(|| T::decode(&mut &self.fields[..]).ok()).flatten()
    }
}

/// A block with its transactions.
pub(crate) struct Body {
    pub(crate) height: Height,
    pub(crate) parent: BlockHash,
    extrinsics: Vec<Vec<u8>>,
}

impl Body {
    /// Returns the index of the transaction with these bytes.
    pub(crate) fn position(&self, bytes: &[u8]) -> Option<u32> {
        let index = self.extrinsics.iter().position(|extrinsic| extrinsic == bytes)?;
        u32::try_from(index).ok()
    }

    /// Returns the time that the block sets with its unsigned call of `Timestamp.set`.
    pub(crate) fn time(&self) -> Option<UnixMillis> {
        self.extrinsics.iter().find_map(|extrinsic| time_set(extrinsic))
    }
}

/// Returns the argument of `Timestamp.set`, if the extrinsic is this call.
///
/// Layout: the length, a version without a signature (4 or 5), pallet 2 and call 0 (the same in specs 219 to
/// 461), then milliseconds in compact form.
fn time_set(mut extrinsic: &[u8]) -> Option<UnixMillis> {
    let input = &mut extrinsic;
    let length = Compact::<u32>::decode(input).ok()?.0;
    let [version, pallet, call] = <[u8; 3]>::decode(input).ok()?;
    let time = Compact::<u64>::decode_all(input).ok()?.0;
    let is_set = matches!(version, 4 | 5) && (pallet, call) == (2, 0) && length <= 12;
    is_set.then_some(UnixMillis(time))
}

/// Reads a block with its transactions. One request, and another to an archive node if the node lacks the
/// block.
pub(crate) async fn body(client: &Client, block: BlockHash) -> Result<Body, ReadError> {
    const METHOD: &str = "chain_getBlock";
    let request = |node: Methods| async move { node.chain_get_block(Some(H256(block.0))).await };
    let connection = client.connection();
    let mut details = connection.read_at(METHOD, request, Option::is_some).await?;
    if details.is_none()
        && let Some(archive) = connection.archive().await
    {
        details = archive.read(METHOD, request).await?;
    }
    let details = details.ok_or(ReadError::UnknownBlock(block))?;
    Ok(Body {
        height: Height(details.block.header.number),
        parent: BlockHash(details.block.header.parent_hash.0),
        extrinsics: details.block.extrinsics.into_iter().map(|bytes| bytes.0).collect(),
    })
}

/// The outcome of a transaction: its events, or the refusal.
pub(crate) type Outcome = Result<Vec<ChainEvent>, Refusal>;

/// The reason why the events of a block do not tell an outcome.
#[derive(Debug, thiserror::Error)]
enum OutcomeError {
    #[error(transparent)]
    Event(Box<EventsError>),
    #[error("there is no event for the end of transaction {0}")]
    NoEnd(u32),
}

/// Reads the outcome of the transaction at this index of a block. One request.
pub(crate) async fn outcome(client: &Client, block: BlockHash, index: u32) -> Result<Outcome, ReadError> {
    let events = [twox_128(b"System"), twox_128(b"Events")].concat();
    let (events, values) = client.at(block).read(|batch| Ok(batch.add_key(events.clone()))).await?;
    let bytes = values.raw(events).unwrap_or_default().to_vec();
    read_outcome(&values.runtime, bytes, index).map_err(|error| ReadError::Decode {
        item: "System.Events".into(),
        at: block,
        reason: ErrorChain(&error).to_string(),
    })
}

fn read_outcome(runtime: &Runtime, bytes: Vec<u8>, index: u32) -> Result<Outcome, OutcomeError> {
    let events: Events<SubstrateConfig> = runtime.offline.events().from_bytes(bytes);
    let mut of_ours = Vec::new();
    let mut ended = None;
    for event in events.iter() {
        let event = event.map_err(|error| OutcomeError::Event(Box::new(error)))?;
        if event.phase() != Phase::ApplyExtrinsic(index) {
            continue;
        }
        match (event.pallet_name(), event.event_name()) {
            ("System", "ExtrinsicSuccess") => ended = Some(Ok(())),
            ("System", "ExtrinsicFailed") => ended = Some(Err(refusal(runtime, event.field_bytes()))),
            (pallet, name) => of_ours.push(ChainEvent {
                pallet: pallet.into(),
                name: name.into(),
                fields: event.field_bytes().to_vec(),
            }),
        }
    }
    match ended {
        Some(Ok(())) => Ok(Ok(of_ours)),
        Some(Err(refusal)) => Ok(Err(refusal)),
        None => Err(OutcomeError::NoEnd(index)),
    }
}

fn refusal(runtime: &Runtime, dispatch_error: &[u8]) -> Refusal {
    match DispatchError::decode_from(dispatch_error, runtime.metadata.clone()) {
        Ok(DispatchError::Module(error)) => match error.details() {
            Ok(details) => Refusal::from_pallet(details.pallet.name(), &details.variant.name),
            Err(_) => Refusal::OtherDispatch(error.to_string()),
        },
        Ok(other) => Refusal::OtherDispatch(other.to_string()),
        Err(error) => Refusal::OtherDispatch(error.to_string()),
    }
}
