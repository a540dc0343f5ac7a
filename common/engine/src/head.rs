//! The output layer and its loss, computed for some tokens at a time: the logits of all tokens never exist
//! together.

use crate::matrix::{add_product, product, product_into};
use tch::{Kind, TchError, Tensor};

/// The number of tokens whose logits are computed at a time. Logits and log probabilities take at most 10
/// bytes per token and word of the vocabulary: 1.3 GB for a vocabulary of 262,144.
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
    let buffers = Buffers::new(rows, output)?;
    let chunk = |(start, len): (i64, i64)| {
        let targets = targets.f_narrow(0, start, len)?.f_unsqueeze(1)?;
        pick(&buffers.log_probabilities(&rows.f_narrow(0, start, len)?, output)?, &targets)
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
    let buffers = Buffers::new(rows, output)?;
    let columns = output.f_transpose(0, 1)?;
    let by_rows = rows.f_empty_like()?;
    let by_output = Tensor::f_zeros(output.size(), (Kind::Float, output.device()))?;
    let mut nats = Vec::new();
    for (start, len) in chunks(rows.size()[0]) {
        let rows = rows.f_narrow(0, start, len)?;
        let targets = targets.f_narrow(0, start, len)?.f_unsqueeze(1)?;
        let logs = buffers.log_probabilities(&rows, output)?;
        nats.push(pick(&logs, &targets)?);
        // The scale is applied to the narrow factors, not to these wide rows.
        let by_logits = buffers.logit_gradient(logs, &targets)?;
        let by_chunk = product(&by_logits, &columns)?.f_mul_scalar_(scale)?;
        by_rows.f_narrow(0, start, len)?.f_copy_(&by_chunk)?;
        let scaled = rows.f_mul_scalar(scale)?.f_transpose(0, 1)?;
        add_product(&by_output, &by_logits.f_transpose(0, 1)?, &scaled)?;
    }
    Ok(HeadGradient { nats: Tensor::f_cat(&nats, 0)?, rows: by_rows, output: by_output })
}

/// The memory of a chunk, used again for each one.
struct Buffers {
    /// In the number type of the pass.
    logits: Tensor,
    /// The logits as f32, if the pass has another number type.
    wide: Option<Tensor>,
    /// Log probabilities, f32.
    logs: Tensor,
}

impl Buffers {
    fn new(rows: &Tensor, output: &Tensor) -> Result<Self, TchError> {
        let size = [CHUNK.min(rows.size()[0]), output.size()[0]];
        let buffer = |kind| Tensor::f_empty(size, (kind, rows.device()));
        let kind = rows.f_kind()?;
        let wide = if kind == Kind::Float { None } else { Some(buffer(Kind::Float)?) };
        Ok(Self { logits: buffer(kind)?, wide, logs: buffer(Kind::Float)? })
    }

    /// Returns the log probabilities of rows, f32, in a buffer.
    fn log_probabilities(&self, rows: &Tensor, output: &Tensor) -> Result<Tensor, TchError> {
        let len = rows.size()[0];
        let mut logits = self.logits.f_narrow(0, 0, len)?;
        product_into(&logits, rows, output)?;
        if let Some(wide) = &self.wide {
            let mut wide = wide.f_narrow(0, 0, len)?;
            wide.f_copy_(&logits)?;
            logits = wide;
        }
        logits.f_internal_log_softmax_out(&self.logs.f_narrow(0, 0, len)?, -1, false)
    }

    /// Turns log probabilities into the gradient of the cross-entropy by the logits: the probabilities, minus
    /// one at the target. It is in the number type of the pass, in a buffer.
    fn logit_gradient(&self, mut logs: Tensor, targets: &Tensor) -> Result<Tensor, TchError> {
        let ones = Tensor::f_full(targets.size(), -1, (Kind::Float, targets.device()))?;
        let gradient = logs.f_exp_()?.f_scatter_add_(1, targets, &ones)?;
        if self.wide.is_none() {
            return Ok(gradient);
        }
        let mut narrow = self.logits.f_narrow(0, 0, targets.size()[0])?;
        narrow.f_copy_(&gradient)?;
        Ok(narrow)
    }
}

/// Returns the negative log probability of each row's target.
fn pick(logs: &Tensor, targets: &Tensor) -> Result<Tensor, TchError> {
    logs.f_gather(1, targets, false)?.f_squeeze_dim(1)?.f_neg()
}
