//! Products of matrices.

use crate::raw;
use tch::{Device, Kind, TchError, Tensor};

/// Returns the product of a matrix with the transpose of another: `[m, k]` and `[n, k]` to `[m, n]`.
///
/// On x86-64 processors, f32 goes through oneDNN. libtorch's own choice is MKL, which uses the widest vectors
/// on Intel's processors only: on an AMD EPYC with AVX-512, oneDNN was 2.2 times as fast.
pub(crate) fn product(left: &Tensor, right: &Tensor) -> Result<Tensor, TchError> {
    if uses_onednn(left) { raw::linear(left, right) } else { left.f_mm(&right.f_transpose(0, 1)?) }
}

/// The bytes of a temporary product. The system maps larger memory anew each time and clears its pages, which
/// takes longer than the arithmetic.
const BLOCK: i64 = 8 << 20;

/// Computes the [`product`] of two matrices into a third one.
pub(crate) fn product_into(out: &Tensor, left: &Tensor, right: &Tensor) -> Result<(), TchError> {
    if !uses_onednn(left) {
        let _ = left.f_mm_out(out, &right.f_transpose(0, 1)?)?;
        return Ok(());
    }
    for (start, len) in blocks(right.size()[0], left.size()[0]) {
        let part = product(left, &right.f_narrow(0, start, len)?)?;
        out.f_narrow(1, start, len)?.f_copy_(&part)?;
    }
    Ok(())
}

/// Adds the [`product`] of two matrices to an f32 matrix.
pub(crate) fn add_product(sum: &Tensor, left: &Tensor, right: &Tensor) -> Result<(), TchError> {
    for (start, len) in blocks(left.size()[0], right.size()[0]) {
        let part = product(&left.f_narrow(0, start, len)?, right)?;
        let _ = sum.f_narrow(0, start, len)?.f_add_(&part)?;
    }
    Ok(())
}

/// Returns starts and lengths of blocks of rows of which each has this number of f32 values.
fn blocks(rows: i64, values: i64) -> impl Iterator<Item = (i64, i64)> {
    let size = (BLOCK / 4 / values).max(1);
    (0..)
        .map(move |number| number * size)
        .take_while(move |&start| start < rows)
        .map(move |start| (start, size.min(rows - start)))
}

fn uses_onednn(matrix: &Tensor) -> bool {
    cfg!(target_arch = "x86_64") && matrix.kind() == Kind::Float && matrix.device() == Device::Cpu
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::start::init_torch;

    #[test]
    fn products_are_those_of_libtorch_for_all_strides() {
        init_torch();
        tch::manual_seed(1);
        let float = (Kind::Float, Device::Cpu);
        for (m, k, n) in [(1, 1, 1), (1, 7, 3), (5, 1, 4), (6, 9, 1), (33, 65, 17), (3000, 2, 1500)] {
            let (left, right) = (Tensor::randn([m, k], float), Tensor::randn([n, k], float));
            let lefts = [left.shallow_clone(), left.tr().contiguous().tr()];
            let rights = [right.shallow_clone(), right.tr().contiguous().tr()];
            let wanted = left.to_kind(Kind::Double).mm(&right.to_kind(Kind::Double).tr());
            for left in &lefts {
                for right in &rights {
                    let found = product(left, right).unwrap();
                    assert_eq!(found.size(), [m, n]);
                    assert!(found.is_contiguous());
                    let sum = &found + 1.0;
                    add_product(&sum, left, right).unwrap();
                    assert!((&sum - 1.0 - &found * 2.0).abs().max().double_value(&[]) < 1e-5);
                    let out = found.empty_like();
                    product_into(&out, left, right).unwrap();
                    assert!((out - &found).abs().max().double_value(&[]) < 1e-5);
                    let off = (found.to_kind(Kind::Double) - &wanted).abs().max().double_value(&[]);
                    assert!(off < 1e-5, "{m} {k} {n}: {off}");
                }
            }
        }
    }
}
