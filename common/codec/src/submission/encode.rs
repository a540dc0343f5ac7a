//! Writing a submission.

use super::{HEADER_BYTES, Header, Layout, SIGNATURE_CONTEXT, SealKey, TRAILER_BYTES, TensorLayout};
use crate::sparse::SparseTensor;
use base::{Hotkey, digest::ObjectHash, signature::SigningKey, wire::Writer};

/// Why tensors make no submission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Another number of tensors than the model has.
    #[error("{found} tensors are given: the model has {expected}")]
    Tensors {
        /// Those given.
        found: usize,
        /// Those of the model.
        expected: usize,
    },
    /// A tensor that is not what the run spec makes of the model's.
    #[error("what is given for tensor {tensor} was not compressed from it by this run's spec")]
    Tensor {
        /// Its name.
        tensor: String,
    },
    /// The key is not that of the header's hotkey.
    #[error("the submission is from {header}: it cannot be signed with the key of {key}")]
    Key {
        /// The header's hotkey.
        header: Hotkey,
        /// The key's.
        key: Hotkey,
    },
}

/// Writes and signs a submission; `tensors` in the order of the layout. All bytes but the signature (the last 64)
/// follow from the arguments.
///
/// # Errors
/// The tensors are not those of the layout, or the key is not the hotkey's.
pub fn encode(
    layout: &Layout,
    header: &Header,
    tensors: &[SparseTensor],
    key: &SigningKey,
) -> Result<Vec<u8>, EncodeError> {
    let content = content(layout, header, tensors, key)?;
    Ok(assemble(&Header { seal: None, ..*header }, &content, key))
}

/// Writes, seals and signs a submission. It is of no use to anybody without a [`KeyObject`](super::KeyObject) with this
/// `seal`, which must be a new one.
///
/// # Errors
/// As [`encode`].
pub fn encode_sealed(
    layout: &Layout,
    header: &Header,
    tensors: &[SparseTensor],
    key: &SigningKey,
    seal: &SealKey,
) -> Result<Vec<u8>, EncodeError> {
    let mut content = content(layout, header, tensors, key)?;
    let seal = seal.seal(&mut content);
    Ok(assemble(&Header { seal: Some(seal), ..*header }, &content, key))
}

/// Table and body.
fn content(
    layout: &Layout,
    header: &Header,
    tensors: &[SparseTensor],
    key: &SigningKey,
) -> Result<Vec<u8>, EncodeError> {
    if key.hotkey() != header.neuron.hotkey {
        return Err(EncodeError::Key { header: header.neuron.hotkey, key: key.hotkey() });
    }
    if tensors.len() != layout.tensors().len() {
        return Err(EncodeError::Tensors { found: tensors.len(), expected: layout.tensors().len() });
    }
    let mut table = Writer::new();
    let mut content = vec![0; layout.body_offset() - HEADER_BYTES];
    let table_bytes = content.len();
    for (tensor, sparse) in layout.tensors().iter().zip(tensors) {
        tensor.check_sparse(sparse)?;
        tensor.write_entry((HEADER_BYTES + content.len()) as u64, &mut table);
        tensor.write(sparse, &mut content);
    }
    content[..table_bytes].copy_from_slice(&table.into_bytes());
    Ok(content)
}

/// Puts the header before table and body, and signs them.
fn assemble(header: &Header, content: &[u8], key: &SigningKey) -> Vec<u8> {
    let length = HEADER_BYTES + content.len() + TRAILER_BYTES;
    let mut writer = Writer::new();
    header.write(length as u64, &mut writer);
    let mut bytes = writer.into_bytes();
    bytes.reserve_exact(length - bytes.len());
    bytes.extend_from_slice(content);
    let digest = ObjectHash::of(&[&bytes]);
    bytes.extend_from_slice(&digest.0);
    bytes.extend_from_slice(&key.sign(SIGNATURE_CONTEXT, &digest.0).0);
    bytes
}

impl TensorLayout {
    /// Checks that a sparse tensor is one of this layout.
    fn check_sparse(&self, sparse: &SparseTensor) -> Result<(), EncodeError> {
        let geometry = self.geometry();
        let count = sparse.positions().len() == geometry.chunks() * self.sent();
        let inside = sparse.positions().iter().all(|&position| usize::from(position) < geometry.size());
        let same = sparse.sent() == self.sent() && sparse.values().quantizer() == self.quantizer();
        match count && inside && same {
            true => Ok(()),
            false => Err(EncodeError::Tensor { tensor: self.name().to_owned() }),
        }
    }
}
