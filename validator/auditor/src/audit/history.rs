//! Finds the requested windows of which the chain's node no longer has the states.

use super::Auditor;
use crate::{AuditError, report::Gone};
use base::{Height, Window};
use chain::error::ReadError;
use protocol::run_spec::RunSpecError;
use std::ops::Range;

impl Auditor {
    /// Returns the first of these windows whose states the node, or an archive, no longer has, up to the last
    /// such window. Returns `None` if it has all of them. States are dropped from the oldest on, so this asks
    /// about few windows.
    pub(super) async fn gone(&self, asked: &Range<u64>) -> Result<Option<Gone>, AuditError> {
        let (mut gone, mut kept) = (asked.start, asked.end);
        // All windows below `gone` are gone, and those from `kept` on are not.
        while gone < kept {
            // The first one decides most audits.
            let window = if gone == asked.start { gone } else { gone + (kept - gone) / 2 };
            if self.is_gone(self.first_height(window)?).await? {
                gone = window + 1;
            } else {
                kept = window;
            }
        }
        if gone == asked.start {
            return Ok(None);
        }
        let before = self.first_height(gone - 1)?;
        Ok(Some(Gone { first: Window(asked.start), last: Window(gone - 1), block: before }))
    }

    /// Returns the first block whose state an audit of the window needs.
    fn first_height(&self, window: u64) -> Result<Height, AuditError> {
        Ok(self.run.clock.heights(Window(window)).map_err(RunSpecError::from)?.incentives)
    }

    async fn is_gone(&self, height: Height) -> Result<bool, AuditError> {
        // A block that is not there yet is not gone.
        let Ok(hash) = self.read(self.chain_reader.hash(height).await)? else { return Ok(false) };
        match self.chain_reader.client().at(hash).time().await {
            Err(ReadError::Pruned(_)) => Ok(true),
            // Another error shows in the audit itself.
            _ => Ok(false),
        }
    }
}
