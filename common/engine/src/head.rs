//! The output layer and its loss, computed for some tokens at a time: the logits of all tokens never exist
//! together.

use crate::matrix::product;
use tch::{Kind, TchError, Tensor};

/// The number of tokens whose logits are computed at a time. Logits, log probabilities and their gradient
/// take at most 16 bytes per token and word of the vocabulary: 2 GiB for a vocabulary of 262,144.
///
/// All passes use the same chunks, so that a loss has the same bits in all of them.
pub(crate) const CHUNK: i64 = 512;

/// The loss of some tokens, and its gradient.
pub(crate) struct HeadGradient {
    /// The cross-entropy of each token in nats, f32.
    pub(crate) nats: Tensor,
    /// The gradient of the loss by the input rows.
    pub(crate) rows: Tensor,
    /// The gradient of the loss by the output matrix, f32.
    pub(crate) output: Tensor,
}

/// Returns ranges of at most [`CHUNK`] rows: starts and lengths.
pub(crate) fn chunks(rows: i64) -> impl Iterator<Item = (i64, i64)> {
    (0..)
        .map(|number| number * CHUNK)
        .take_while(move |&start| start < rows)
        .map(move |start| (start, CHUNK.min(rows - start)))
}

/// Returns the cross-entropy of each row's target in nats, f32.
pub(crate) fn nats(rows: &Tensor, output: &Tensor, targets: &Tensor) -> Result<Tensor, TchError> {
    let chunk = |(start, len): (i64, i64)| {
        let targets = targets.f_narrow(0, start, len)?.f_unsqueeze(1)?;
        pick(&log_probabilities(&rows.f_narrow(0, start, len)?, output)?, &targets)
    };
    Tensor::f_cat(&chunks(rows.size()[0]).map(chunk).collect::<Result<Vec<_>, _>>()?, 0)
}

/// Returns the cross-entropy of each row's target, and the gradient of `scale` times their sum.
pub(crate) fn gradient(
    rows: &Tensor,
    output: &Tensor,
    targets: &Tensor,
    scale: f64,
) -> Result<HeadGradient, TchError> {
    let mut nats = Vec::new();
    let columns = output.f_transpose(0, 1)?;
    let row_gradient = rows.f_empty_like()?;
    let mut output_gradient: Option<Tensor> = None;
    for (start, len) in chunks(rows.size()[0]) {
        let rows = rows.f_narrow(0, start, len)?;
        let targets = targets.f_narrow(0, start, len)?.f_unsqueeze(1)?;
        let mut logs = log_probabilities(&rows, output)?;
        nats.push(pick(&logs, &targets)?);
        // The gradient by the logits: the probabilities, minus one at the target. The scale is applied to
        // the narrow factors, not to these wide rows.
        let ones = Tensor::f_full([len, 1], -1, (Kind::Float, rows.device()))?;
        let logit_gradient = logs.f_exp_()?.f_scatter_add_(1, &targets, &ones)?.f_to_kind(rows.f_kind()?)?;
        drop(logs);
        let mut part = row_gradient.f_narrow(0, start, len)?;
        part.f_copy_(&product(&logit_gradient, &columns)?.f_mul_scalar_(scale)?)?;
        let scaled = rows.f_mul_scalar(scale)?;
        let by_output = product(&logit_gradient.f_transpose(0, 1)?, &scaled.f_transpose(0, 1)?)?;
        output_gradient = Some(match output_gradient {
            None => by_output.f_to_kind(Kind::Float)?,
            Some(mut sum) => sum.f_add_(&by_output)?,
        });
    }
    let output = output_gradient.ok_or_else(|| TchError::Shape("a loss of no tokens".to_owned()))?;
    Ok(HeadGradient { nats: Tensor::f_cat(&nats, 0)?, rows: row_gradient, output })
}

/// Returns the log probabilities of rows, f32.
fn log_probabilities(rows: &Tensor, output: &Tensor) -> Result<Tensor, TchError> {
    product(rows, output)?.f_log_softmax(-1, Kind::Float)
}

/// Returns the negative log probability of each row's target.
fn pick(logs: &Tensor, targets: &Tensor) -> Result<Tensor, TchError> {
    logs.f_gather(1, targets, false)?.f_squeeze_dim(1)?.f_neg()
}
