//! The `payment_*` methods: transaction fees.

use jsonrpsee::{core::async_trait, proc_macros::rpc};
use parity_scale_codec::{Compact, Decode, Encode};
use serde_json::{Value, json};
use sp_core::Bytes;

use super::error::{self, Result};
use crate::{handle::Handle, node::Node, state::CallError, store::Hash};

#[rpc(server)]
pub(super) trait PaymentApi {
    #[method(name = "payment_queryInfo")]
    async fn info(&self, extrinsic: Bytes, at: Option<Hash>) -> Result<Value>;

    #[method(name = "payment_queryFeeDetails")]
    async fn fee_details(&self, extrinsic: Bytes, at: Option<Hash>) -> Result<Value>;
}

/// The type `RuntimeDispatchInfo`: weight (time and proof), class, fee in rao.
#[derive(Decode)]
struct DispatchInfo(Compact<u64>, Compact<u64>, u8, u64);

/// The type `FeeDetails`: base, length and weight fee in rao, if the sender pays a fee.
#[derive(Decode)]
struct FeeDetails(Option<(u64, u64, u64)>);

pub(super) struct Payment(pub(super) Handle);

impl Payment {
    async fn ask<T: Decode + Send + 'static>(
        &self,
        method: &'static str,
        extrinsic: Bytes,
        at: Option<Hash>,
    ) -> Result<T> {
        let ask = move |node: &Node| {
            let store = node.chain().store();
            let block = at.map_or(Some(store.best()), |hash| store.by_hash(&hash));
            let block = block.ok_or_else(|| error::unknown_block(at.unwrap_or_default()))?;
            let data = [&extrinsic[..], &(extrinsic.len() as u32).encode()].concat();
            let bytes = node.chain().call(block, method, &data).map_err(error::call)?;
            let odd = |_| CallError::Answer { method: method.into(), expected: "a fee" };
            T::decode(&mut &bytes[..]).map_err(odd).map_err(error::call)
        };
        self.0.read(ask).await?
    }
}

#[async_trait]
impl PaymentApiServer for Payment {
    async fn info(&self, extrinsic: Bytes, at: Option<Hash>) -> Result<Value> {
        let DispatchInfo(time, proof, class, fee) =
            self.ask("TransactionPaymentApi_query_info", extrinsic, at).await?;
        let class = ["normal", "operational", "mandatory"].get(usize::from(class));
        let weight = json!({ "ref_time": time.0, "proof_size": proof.0 });
        // Amounts are strings, since a JSON number may lose digits.
        Ok(json!({ "weight": weight, "class": class, "partialFee": fee.to_string() }))
    }

    async fn fee_details(&self, extrinsic: Bytes, at: Option<Hash>) -> Result<Value> {
        let FeeDetails(fee) = self.ask("TransactionPaymentApi_query_fee_details", extrinsic, at).await?;
        let inclusion = fee.map(|(base, length, weight)| {
            let hex = |rao: u64| format!("{rao:#x}");
            json!({ "baseFee": hex(base), "lenFee": hex(length), "adjustedWeightFee": hex(weight) })
        });
        Ok(json!({ "inclusionFee": inclusion }))
    }
}
