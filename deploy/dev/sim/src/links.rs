//! The lines of the nodes: a fluid model. The transfers of one line share its rate fairly, and each has
//! a limit of its own. Rates change only when a transfer begins or ends.

/// A place in the list of flows.
pub(crate) type FlowId = u32;

/// The direction of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From a bucket to the node.
    Down,
    /// From the node to its bucket.
    Up,
}

/// One direction of a node's line.
#[derive(Clone, Debug)]
struct Line {
    /// Bytes per second.
    rate: u64,
    flows: Vec<FlowId>,
    /// The time up to which the flows have moved.
    moved: u64,
    /// Changes with the flows, so that an older forecast is known.
    version: u32,
}

/// The transfer of some bytes.
#[derive(Clone, Copy, Debug)]
struct Flow {
    line: u32,
    /// Thousandths of bytes that are left.
    left: u64,
    /// Thousandths of bytes in total.
    total: u64,
    /// The largest rate, in bytes per second.
    limit: u64,
    /// The present rate, in bytes per second: thousandths of bytes per millisecond.
    rate: u64,
}

/// The end of the next flow of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forecast {
    /// The line.
    pub(crate) line: u32,
    /// The version of the line's flows.
    pub(crate) version: u32,
    /// The time.
    pub(crate) at: u64,
}

/// The lines of all nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Links {
    lines: Vec<Line>,
    flows: Vec<Flow>,
    free: Vec<FlowId>,
    order: Vec<FlowId>,
}

impl Links {
    /// Adds the line of the next node. Rates are in bytes per second.
    pub(crate) fn add(&mut self, up: u64, down: u64) {
        for rate in [down, up] {
            self.lines.push(Line { rate: rate.max(1), flows: Vec::new(), moved: 0, version: 0 });
        }
    }

    /// Returns the rate of a node's line, in bytes per second.
    pub(crate) fn rate(&self, node: usize, direction: Direction) -> u64 {
        self.lines[Self::line(node, direction)].rate
    }

    fn line(node: usize, direction: Direction) -> usize {
        2 * node + usize::from(direction == Direction::Up)
    }

    /// Starts a transfer. `limit` is its largest rate in bytes per second.
    pub(crate) fn start(
        &mut self,
        now: u64,
        node: usize,
        direction: Direction,
        bytes: u64,
        limit: u64,
    ) -> (FlowId, Option<Forecast>) {
        let line = Self::line(node, direction);
        let left = bytes.max(1) * 1000;
        let flow = Flow { line: line as u32, left, total: left, limit: limit.max(1), rate: 0 };
        let id = match self.free.pop() {
            Some(id) => {
                self.flows[id as usize] = flow;
                id
            }
            None => {
                self.flows.push(flow);
                self.flows.len() as u32 - 1
            }
        };
        self.advance(line, now);
        self.lines[line].flows.push(id);
        (id, self.share(line))
    }

    /// Ends a transfer, complete or not.
    pub(crate) fn stop(&mut self, now: u64, flow: FlowId) -> Option<Forecast> {
        let line = self.flows[flow as usize].line as usize;
        self.advance(line, now);
        self.lines[line].flows.retain(|other| *other != flow);
        self.free.push(flow);
        self.share(line)
    }

    /// Returns the bytes that a transfer has moved.
    pub(crate) fn moved(&mut self, now: u64, flow: FlowId) -> u64 {
        self.advance(self.flows[flow as usize].line as usize, now);
        let flow = &self.flows[flow as usize];
        (flow.total - flow.left) / 1000
    }

    /// Appends the transfers of a line that have ended, if the forecast is still true.
    pub(crate) fn ended(&mut self, now: u64, line: u32, version: u32, ended: &mut Vec<FlowId>) {
        if self.lines[line as usize].version != version {
            return;
        }
        self.advance(line as usize, now);
        let flows = &self.flows;
        ended.extend(self.lines[line as usize].flows.iter().filter(|flow| flows[**flow as usize].left == 0));
    }

    /// Moves the bytes of a line up to now.
    fn advance(&mut self, line: usize, now: u64) {
        let line = &mut self.lines[line];
        let time = now - line.moved;
        line.moved = now;
        if time > 0 {
            for flow in &line.flows {
                let flow = &mut self.flows[*flow as usize];
                flow.left = flow.left.saturating_sub(flow.rate.saturating_mul(time));
            }
        }
    }

    /// Shares the rate of a line: the slowest flows first, each at most its even part of the rest.
    fn share(&mut self, line: usize) -> Option<Forecast> {
        let Self { lines, flows, order, .. } = self;
        let number = line as u32;
        let line = &mut lines[line];
        line.version = line.version.wrapping_add(1);
        order.clear();
        order.extend_from_slice(&line.flows);
        order.sort_unstable_by_key(|flow| (flows[*flow as usize].limit, *flow));
        let mut rest = line.rate;
        let mut at = u64::MAX;
        for (place, flow) in order.iter().enumerate() {
            let flow = &mut flows[*flow as usize];
            flow.rate = flow.limit.min(rest / (order.len() - place) as u64).max(1);
            rest = rest.saturating_sub(flow.rate);
            at = at.min(line.moved.saturating_add(flow.left.div_ceil(flow.rate)));
        }
        (!order.is_empty()).then_some(Forecast { line: number, version: line.version, at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_flows_leave_their_part_to_others() {
        let mut links = Links::default();
        links.add(10, 1000);
        let (slow, _) = links.start(0, 0, Direction::Down, 1000, 100);
        let (fast, forecast) = links.start(0, 0, Direction::Down, 1800, u64::MAX);
        assert_eq!(forecast.map(|forecast| forecast.at), Some(2000));
        let mut ended = Vec::new();
        let Forecast { line, version, at } = forecast.unwrap();
        links.ended(at, line, version, &mut ended);
        assert_eq!(ended, [fast]);
        assert_eq!(links.moved(2000, slow), 200);
        assert_eq!(links.stop(2000, fast).map(|forecast| forecast.at), Some(10_000));
        links.ended(10_000, line, version, &mut ended);
        assert_eq!(ended, [fast], "an older forecast is ignored");
        assert_eq!(links.stop(10_000, slow), None);
    }
}
