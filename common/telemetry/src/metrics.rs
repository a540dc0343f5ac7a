//! Metrics for Prometheus, declared next to the code that updates them.
//!
//! The text is Prometheus' exposition format 0.0.4. A name is the declared prefix, `_` and the field's
//! name. The name of a counter ends with `_total`, by Prometheus' naming rules.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Bucket bounds in seconds, for durations from milliseconds to minutes.
pub const SECONDS: &[f64] = &[0.005, 0.02, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0];

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

/// The numbers of values up to each of a few bounds, with the sum of all values.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// One count for each bound, and one for values above all bounds.
    counts: Vec<AtomicU64>,
    sum: Gauge,
}

/// Metrics of one kind, which differ in one label, such as a uid.
///
/// At most `most` values of the label have their own metric. Later values share the value `other`, so
/// that outsiders cannot fill the memory with names.
#[derive(Debug)]
pub struct Family<M> {
    label: &'static str,
    most: usize,
    make: fn() -> M,
    members: RwLock<BTreeMap<String, Arc<M>>>,
}

impl Counter {
    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// Returns the count.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Gauge {
    /// Sets the number.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }

    /// Adds `change`, which may be negative, to the number.
    pub fn add(&self, change: f64) {
        let add = |bits| Some((f64::from_bits(bits) + change).to_bits());
        self.0.fetch_update(Relaxed, Relaxed, add).expect("the closure never refuses");
    }

    /// Returns the number.
    #[must_use]
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }
}

impl Histogram {
    /// Creates an empty histogram. `bounds` are inclusive upper bounds in ascending order.
    #[must_use]
    pub fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: Gauge::default() }
    }

    /// Counts a value.
    pub fn observe(&self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket].fetch_add(1, Relaxed);
        self.sum.add(value);
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new(SECONDS)
    }
}

impl<M: Default> Family<M> {
    /// Creates a family of at most `most` members, which differ in `label`.
    #[must_use]
    pub fn new(label: &'static str, most: usize) -> Self {
        Self { label, most, make: M::default, members: RwLock::default() }
    }
}

impl<M> Family<M> {
    /// Returns the member with this value of the label. Creates it at the first call.
    pub fn with(&self, value: impl fmt::Display) -> Arc<M> {
        let value = value.to_string();
        if let Some(member) = self.members.read().unwrap_or_else(PoisonError::into_inner).get(&value) {
            return Arc::clone(member);
        }
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        let room = members.len() < self.most || members.contains_key(&value);
        let value = if room { value } else { "other".to_owned() };
        Arc::clone(members.entry(value).or_insert_with(|| Arc::new((self.make)())))
    }

    /// Removes the member with this value of the label.
    pub fn forget(&self, value: impl fmt::Display) {
        self.members.write().unwrap_or_else(PoisonError::into_inner).remove(&value.to_string());
    }
}

impl Family<Counter> {
    /// Returns the sum of all members.
    #[must_use]
    pub fn total(&self) -> u64 {
        let members = self.members.read().unwrap_or_else(PoisonError::into_inner);
        members.values().map(|member| member.get()).sum()
    }
}

/// A metric that can be shown to Prometheus under a name.
pub trait Metric: Send + Sync {
    /// The word after `# TYPE`.
    const KIND: &'static str;
    /// The suffix of the declared name.
    const SUFFIX: &'static str = "";

    /// Writes the samples, without the lines that begin with `#`.
    fn samples(&self, name: &str, labels: &Labels, text: &mut String);
}

/// The labels of a sample: `{name="value",…}` or nothing.
#[derive(Clone, Debug, Default)]
pub struct Labels(Vec<(&'static str, String)>);

impl Labels {
    fn and(&self, name: &'static str, value: impl fmt::Display) -> Self {
        let mut labels = self.clone();
        labels.0.push((name, value.to_string()));
        labels
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.0.iter().enumerate() {
            let value = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            write!(f, "{}{name}=\"{value}\"", if i == 0 { "{" } else { "," })?;
        }
        f.write_str(if self.0.is_empty() { "" } else { "}" })
    }
}

/// Formats a number for Prometheus, which differs from Rust only for infinite numbers.
fn number(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        _ => value.to_string(),
    }
}

/// Appends one sample. Writing to a `String` cannot fail.
fn line(text: &mut String, name: &str, labels: &Labels, value: impl fmt::Display) {
    let _ = writeln!(text, "{name}{labels} {value}");
}

impl Metric for Counter {
    const KIND: &'static str = "counter";
    const SUFFIX: &'static str = "_total";

    fn samples(&self, name: &str, labels: &Labels, text: &mut String) {
        line(text, name, labels, self.get());
    }
}

impl Metric for Gauge {
    const KIND: &'static str = "gauge";

    fn samples(&self, name: &str, labels: &Labels, text: &mut String) {
        line(text, name, labels, number(self.get()));
    }
}

impl Metric for Histogram {
    const KIND: &'static str = "histogram";

    fn samples(&self, name: &str, labels: &Labels, text: &mut String) {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let mut count = 0;
        for (bound, bucket) in bounds.zip(&self.counts) {
            count += bucket.load(Relaxed);
            line(text, &format!("{name}_bucket"), &labels.and("le", number(bound)), count);
        }
        line(text, &format!("{name}_sum"), labels, number(self.sum.get()));
        line(text, &format!("{name}_count"), labels, count);
    }
}

impl<M: Metric> Metric for Family<M> {
    const KIND: &'static str = M::KIND;
    const SUFFIX: &'static str = M::SUFFIX;

    fn samples(&self, name: &str, labels: &Labels, text: &mut String) {
        for (value, member) in self.members.read().unwrap_or_else(PoisonError::into_inner).iter() {
            member.samples(name, &labels.and(self.label, value), text);
        }
    }
}

/// A writer of the text that Prometheus reads.
#[derive(Debug, Default)]
pub struct Text(String);

impl Text {
    /// Appends a metric with its help text.
    pub fn metric<M: Metric>(&mut self, prefix: &str, field: &str, help: &str, metric: &M) {
        let name = format!("{prefix}_{field}{}", M::SUFFIX);
        let help = help.trim().replace('\\', r"\\").replace('\n', " ");
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {}\n", M::KIND);
        metric.samples(&name, &Labels::default(), &mut self.0);
    }
}

/// A group of metrics that [`metrics!`](crate::metrics!) declares.
pub trait Source: Send + Sync {
    /// Writes all metrics of the group.
    fn write(&self, text: &mut Text);
}

/// All metrics of a process. Clones share one list. Its `Display` form is the text that Prometheus reads.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Vec<Arc<dyn Source>>>>);

impl Registry {
    /// Adds a group of metrics.
    pub fn add(&self, source: Arc<dyn Source>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(source);
    }
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Text::default();
        let sources = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        sources.iter().for_each(|source| source.write(&mut text));
        f.write_str(&text.0)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = self.0.lock().unwrap_or_else(PoisonError::into_inner).len();
        f.debug_struct("Registry").field("groups", &groups).finish()
    }
}

/// Declares a group of metrics: a struct, its `Default`, and its text for Prometheus. The doc comments
/// are the help texts.
///
/// The initial value of a field is its type's default, or the expression after `=`.
///
/// ```
/// use telemetry::{Counter, Family, Gauge, Histogram};
///
/// telemetry::metrics! {
///     /// The metrics of a node's storage.
///     pub struct StorageMetrics("muster_storage") {
///         /// Bytes received from buckets.
///         pub received_bytes: Counter,
///         /// Gets in progress.
///         pub gets: Gauge,
///         /// Duration of gets in seconds.
///         pub get_seconds: Histogram,
///         /// Gets that failed, by kind of error.
///         pub failures: Family<Counter> = Family::new("kind", 16),
///     }
/// }
///
/// let metrics = StorageMetrics::default();
/// metrics.failures.with("slow").increment();
/// ```
#[macro_export]
macro_rules! metrics {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident($prefix:literal) {
            $( $(#[doc = $help:literal])+ $field_vis:vis $field:ident : $kind:ty $(= $make:expr)? ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug)]
        $vis struct $name {
            $( $(#[doc = $help])+ $field_vis $field: $kind, )*
        }

        impl ::std::default::Default for $name {
            fn default() -> Self {
                Self { $( $field: $crate::metrics!(@make $($make)?), )* }
            }
        }

        impl $crate::Source for $name {
            fn write(&self, text: &mut $crate::Text) {
                $( text.metric($prefix, stringify!($field), concat!($($help),+), &self.$field); )*
            }
        }
    };
    (@make $make:expr) => { $make };
    (@make) => { ::std::default::Default::default() };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    crate::metrics! {
        /// For the tests.
        struct Sample("muster_test") {
            /// Things that
            /// were counted.
            things: Counter,
            /// A level.
            level: Gauge = Gauge::default(),
            /// A duration.
            seconds: Histogram = Histogram::new(&[1.0, 2.5]),
            /// By peer.
            peers: Family<Counter> = Family::new("peer", 2),
        }
    }

    #[test]
    fn the_text_is_the_exposition_format() {
        let registry = Registry::default();
        let sample = Arc::new(Sample::default());
        registry.add(sample.clone());
        sample.things.add(3);
        sample.level.set(-0.5);
        for seconds in [0.5, 1.0, 2.0, 9.0] {
            sample.seconds.observe(seconds);
        }
        sample.peers.with("a\"b\\c\nd").increment();
        let expected = "\
# HELP muster_test_things_total Things that were counted.
# TYPE muster_test_things_total counter
muster_test_things_total 3
# HELP muster_test_level A level.
# TYPE muster_test_level gauge
muster_test_level -0.5
# HELP muster_test_seconds A duration.
# TYPE muster_test_seconds histogram
muster_test_seconds_bucket{le=\"1\"} 2
muster_test_seconds_bucket{le=\"2.5\"} 3
muster_test_seconds_bucket{le=\"+Inf\"} 4
muster_test_seconds_sum 12.5
muster_test_seconds_count 4
# HELP muster_test_peers_total By peer.
# TYPE muster_test_peers_total counter
muster_test_peers_total{peer=\"a\\\"b\\\\c\\nd\"} 1
";
        assert_eq!(registry.to_string(), expected);
    }

    #[test]
    fn a_family_is_bounded() {
        let peers = Sample::default().peers;
        for peer in 0..100 {
            peers.with(peer).increment();
        }
        assert_eq!((peers.with(0).get(), peers.with(1).get(), peers.with("other").get()), (1, 1, 98));
        assert_eq!(peers.total(), 100);
        peers.forget(0);
        assert_eq!(peers.with(0).get(), 98, "two members exist, so the third shares 'other'");
    }

    proptest! {
        /// Checks that a sample with any label value is one line `name{label="…"} value`, and reads back.
        #[test]
        fn labels_read_back(value in ".*") {
            let shown = Labels::default().and("peer", &value).to_string();
            prop_assert!(!shown.contains('\n'));
            let inner = shown.strip_prefix("{peer=\"").and_then(|s| s.strip_suffix("\"}")).unwrap();
            let mut back = String::new();
            let mut chars = inner.chars();
            while let Some(c) = chars.next() {
                prop_assert_ne!(c, '"');
                back.push(if c != '\\' { c } else { match chars.next() { Some('n') => '\n', other => other.unwrap() } });
            }
            prop_assert_eq!(back, value);
        }

        #[test]
        fn histograms_lose_nothing(values in proptest::collection::vec(0.0..10.0f64, 0..100)) {
            let histogram = Histogram::new(&[1.0, 2.5]);
            values.iter().for_each(|value| histogram.observe(*value));
            let counts: u64 = histogram.counts.iter().map(|count| count.load(Relaxed)).sum();
            prop_assert_eq!(counts, values.len() as u64);
            prop_assert_eq!(histogram.counts[0].load(Relaxed), values.iter().filter(|v| **v <= 1.0).count() as u64);
        }
    }
}
