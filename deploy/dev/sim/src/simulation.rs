//! Runs histories.

use crate::{
    checks::Violation,
    node::Role,
    profile::{Profile, ProfileName},
    scenario::Scenario,
    story::Story,
    world::World,
};
use std::{collections::BTreeMap, sync::Arc};

/// The profiles of all runs, read once.
#[derive(Clone, Debug)]
pub struct Profiles(BTreeMap<&'static str, Arc<Profile>>);

impl Profiles {
    /// Reads the run files.
    ///
    /// # Errors
    /// A run file is not valid. The text names it and the reason.
    pub fn read() -> Result<Self, String> {
        let names =
            [ProfileName::Tiny, ProfileName::M150, ProfileName::B1, ProfileName::B8, ProfileName::B72];
        let read = names.into_iter().map(|name| Ok((name.name(), Arc::new(Profile::new(name, 1)?))));
        read.collect::<Result<_, String>>().map(Self)
    }

    fn of(&self, scenario: &Scenario) -> Arc<Profile> {
        let mut profile = Profile::clone(&self.0[scenario.profile.name()]);
        profile.window.count = scenario.windows;
        profile.window.blocks = scenario.blocks.unwrap_or(profile.window.blocks);
        profile.acceptance.staleness = scenario.staleness.unwrap_or(profile.acceptance.staleness);
        if profile.acceptance.overlaps() {
            profile.fill_windows();
        }
        Arc::new(profile)
    }
}

/// The result of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The number of decided windows.
    pub windows: u64,
    /// The number of windows with an outer step that took every honest miner in time.
    pub good_windows: u64,
    /// The number of events.
    pub events: u64,
    /// The broken invariants.
    pub violations: Vec<Violation>,
    /// The time that honest miners had, in milliseconds, and the time that they trained.
    pub time: u64,
    /// The time that honest miners trained, in milliseconds.
    pub trained: u64,
    /// The number of times that a node lost the shared state.
    pub lost: u64,
    /// The number of accepted objects without an honest keeper that runs, and whose miner is hostile.
    pub unserved: u64,
    /// The last events in plain words, if they were asked for.
    pub story: Vec<String>,
}

/// Runs the history of a scenario. With `tells`, the outcome holds its last events in plain words, and the
/// history ends with the first violation.
///
/// # Errors
/// The scenario has no valid windows.
pub fn simulate(
    scenario: &Scenario,
    profiles: &Profiles,
    tells: bool,
) -> Result<Outcome, protocol::clock::ClockError> {
    let story = if tells { Story::on() } else { Story::default() };
    let profile = profiles.of(scenario);
    let window = profile.window_time();
    let mut world = World::of(scenario.clone(), profile, story)?;
    world.run(tells);
    let honest = world.nodes.iter().filter(|node| node.is_honest);
    let trained = honest.filter_map(|node| match &node.role {
        Role::Miner(miner) => Some(miner.trained),
        _ => None,
    });
    let trained: Vec<u64> = trained.collect();
    Ok(Outcome {
        windows: world.checks.windows,
        good_windows: world.checks.good_windows,
        events: world.events,
        time: trained.len() as u64 * window * u64::from(scenario.windows),
        trained: trained.iter().sum(),
        lost: world.checks.lost,
        unserved: world.checks.unserved,
        story: world.story.lines().map(str::to_owned).collect(),
        violations: world.checks.violations,
    })
}
