//! Encodes submissions.

use super::{
    HEADER_BYTES, Header, SIGNATURE_CONTEXT, SealKey, SubmissionLayout, TRAILER_BYTES, TensorLayout,
};
use crate::sparse::SparseTensor;
use base::{Hotkey, digest::ObjectHash, signature::SigningKey, wire::Writer};

/// An error from encoding a submission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The number of tensors is not the model's.
    #[error("{found} tensors are given: the model has {expected}")]
    Tensors {
        /// The number of tensors given.
        found: usize,
        /// The number of tensors of the model.
        expected: usize,
    },
    /// A sparse tensor is not a compression of the model's tensor under the run spec.
    #[error("the values given for tensor {tensor} were not compressed from it by this run's spec")]
    Tensor {
        /// The tensor's name.
        tensor: String,
    },
    /// The key is not that of the header's hotkey.
    #[error("the submission is from {header}: it cannot be signed with the key of {key}")]
    Key {
        /// The header's hotkey.
        header: Hotkey,
        /// The key's hotkey.
        key: Hotkey,
    },
}

/// Encodes and signs a submission. `tensors` are in the order of the layout. All bytes except the
/// signature (the last 64) are determined by the arguments.
///
/// # Errors
/// Fails if the tensors are not those of the layout, or the key is not the hotkey's.
pub fn encode(
    layout: &SubmissionLayout,
    header: &Header,
    tensors: &[SparseTensor],
    key: &SigningKey,
) -> Result<Vec<u8>, EncodeError> {
    let content = content(layout, header, tensors, key)?;
    Ok(assemble(&Header { seal: None, ..*header }, &content, key))
}

/// Encodes, seals and signs a submission. No node can read it without a
/// [`KeyObject`](super::KeyObject) that holds this `seal`. Use a new `seal` for each submission.
///
/// # Errors
/// Fails as [`encode`] does.
pub fn encode_sealed(
    layout: &SubmissionLayout,
    header: &Header,
    tensors: &[SparseTensor],
    key: &SigningKey,
    seal: &SealKey,
) -> Result<Vec<u8>, EncodeError> {
    let mut content = content(layout, header, tensors, key)?;
    let seal = seal.seal(&mut content);
    Ok(assemble(&Header { seal: Some(seal), ..*header }, &content, key))
}

/// Encodes table and body.
fn content(
    layout: &SubmissionLayout,
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

/// Puts the header before table and body, and adds digest and signature.
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
    /// Checks that a sparse tensor fits this layout.
    fn check_sparse(&self, sparse: &SparseTensor) -> Result<(), EncodeError> {
        let geometry = self.geometry();
        let count = sparse.positions().len() == geometry.chunks() * self.sent();
        let inside = sparse.positions().iter().all(|&position| usize::from(position) < geometry.size());
        let same = sparse.sent() == self.sent() && sparse.values().quantizer() == self.quantizer();
        if count && inside && same {
            Ok(())
        } else {
            Err(EncodeError::Tensor { tensor: self.name().to_owned() })
        }
    }
}
