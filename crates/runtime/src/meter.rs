//! Metrics are declared once: a static per crate, whose doc comments are the help text.
//!
//! [`metrics!`](crate::metrics!) makes the struct, its handles and its part of `docs/metrics.md`.
//! Handles are made when they are first needed, which is after the recorder of the process is
//! there; the registry is asked then, and never again.

use arc_swap::ArcSwap;
use metrics::Label;
pub use metrics::{Counter, Gauge, Histogram};
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// What a metric is called and what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Described {
    /// `sluicegate_..._total`.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// One line for people, as it was written.
    pub help: &'static str,
}

impl Described {
    /// The help text without the doc comment's margin.
    pub fn help(&self) -> &'static str {
        self.help.trim()
    }

    /// Tells the recorder of this process. A counter without labels is there from now on, with 0:
    /// who watches its growth misses no first one.
    pub(crate) fn tell(&self) {
        let (name, help) = (self.name, self.help());
        if self.kind == Counter::KIND && self.labels.is_empty() {
            Counter::made(name, Vec::new()).increment(0);
        }
        match self.kind {
            Counter::KIND => describe_counter!(name, help),
            Gauge::KIND => describe_gauge!(name, help),
            _ if name.ends_with("_seconds") => describe_histogram!(name, Unit::Seconds, help),
            _ => describe_histogram!(name, help),
        }
    }
}

/// A counter, a gauge or a histogram.
pub trait Handle: 'static {
    /// Its kind's name.
    const KIND: &'static str;
    /// The handle of this name with these labels.
    fn made(name: &'static str, labels: Vec<Label>) -> Self;
}

impl Handle for Counter {
    const KIND: &'static str = "counter";
    fn made(name: &'static str, labels: Vec<Label>) -> Self {
        metrics::counter!(name, labels)
    }
}

impl Handle for Gauge {
    const KIND: &'static str = "gauge";
    fn made(name: &'static str, labels: Vec<Label>) -> Self {
        metrics::gauge!(name, labels)
    }
}

impl Handle for Histogram {
    const KIND: &'static str = "histogram";
    fn made(name: &'static str, labels: Vec<Label>) -> Self {
        metrics::histogram!(name, labels)
    }
}

/// The handles of a metric with labels. `L` is an enum or a pair of them, so there are few.
pub struct By<L, H: 'static> {
    name: &'static str,
    labels: fn(L) -> Vec<Label>,
    /// Read without writing anything that other cores read.
    made: ArcSwap<Vec<(L, &'static H)>>,
}

impl<L: Copy + PartialEq, H: Handle> By<L, H> {
    /// None was made yet.
    pub fn new(name: &'static str, labels: fn(L) -> Vec<Label>) -> Self {
        Self { name, labels, made: ArcSwap::default() }
    }

    /// The handle of this value.
    pub fn of(&self, value: L) -> &'static H {
        if let Some((_, handle)) = self.made.load().iter().find(|(v, _)| *v == value) {
            return handle;
        }
        // For good, as the recorder keeps them too; of two at once both count for the same.
        let handle: &'static H = Box::leak(Box::new(H::made(self.name, (self.labels)(value))));
        self.made.rcu(|made| {
            let others = made.iter().filter(|(v, _)| *v != value).copied();
            others.chain([(value, handle)]).collect::<Vec<_>>()
        });
        handle
    }
}

/// A label with its value.
#[doc(hidden)]
pub fn label(name: &'static str, value: &'static str) -> Label {
    Label::from_static_parts(name, value)
}

/// Declares the metrics of a crate: `field: Counter "name"`, with labels
/// `by label: Enum = Enum::as_str`, at most two.
///
/// ```
/// use sluicegate_runtime::metrics;
/// metrics! {
///     /// Doors of a house.
///     static DOORS: Doors {
///         /// Doors that were opened
///         opened: Counter "house_doors_opened_total",
///         /// Doors that were slammed, by house
///         slammed: Counter "house_doors_slammed_total" by house: bool = |ours| {
///             if ours { "ours" } else { "theirs" }
///         },
///     }
/// }
/// DOORS.opened.increment(1);
/// DOORS.slammed.of(true).increment(1);
/// assert_eq!(Doors::DESCRIBED[1].labels, ["house"]);
/// ```
#[macro_export]
macro_rules! metrics {
    (
        $(#[$about:meta])*
        $vis:vis static $all:ident: $type:ident {
            $(
                $(#[doc = $help:literal])+
                $field:ident: $handle:ident $name:literal
                $(by $($label:ident: $value:ty = $word:expr),+)?,
            )+
        }
    ) => {
        $(#[$about])*
        $vis struct $type {
            $(
                $(#[doc = $help])+
                $vis $field: $crate::metrics!(@type $handle $($($value),+)?),
            )+
        }

        impl $type {
            /// All of them, in the order of the code.
            $vis const DESCRIBED: &'static [$crate::meter::Described] = &[$(
                $crate::meter::Described {
                    name: $name,
                    kind: <$crate::meter::$handle as $crate::meter::Handle>::KIND,
                    labels: &[$($(stringify!($label)),+)?],
                    help: concat!($($help),+),
                },
            )+];
        }

        $(#[$about])*
        $vis static $all: std::sync::LazyLock<$type> = std::sync::LazyLock::new(|| $type {
            $($field: $crate::metrics!(@make $handle $name $($($label: $value = $word),+)?),)+
        });
    };
    (@type $handle:ident) => { $crate::meter::$handle };
    (@type $handle:ident $a:ty) => { $crate::meter::By<$a, $crate::meter::$handle> };
    (@type $handle:ident $a:ty, $b:ty) => {
        $crate::meter::By<($a, $b), $crate::meter::$handle>
    };
    (@make $handle:ident $name:literal) => {
        <$crate::meter::$handle as $crate::meter::Handle>::made($name, Vec::new())
    };
    (@make $handle:ident $name:literal $label:ident: $a:ty = $word:expr) => {
        $crate::meter::By::new($name, |a: $a| {
            vec![$crate::meter::label(stringify!($label), $word(a))]
        })
    };
    (
        @make $handle:ident $name:literal
        $label:ident: $a:ty = $word:expr, $label_b:ident: $b:ty = $word_b:expr
    ) => {
        $crate::meter::By::new($name, |(a, b): ($a, $b)| vec![
            $crate::meter::label(stringify!($label), $word(a)),
            $crate::meter::label(stringify!($label_b), $word_b(b)),
        ])
    };
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    crate::metrics! {
        /// Of the test.
        static ALL: Some {
            /// Plain
            plain: Gauge "t_plain",
            /// By one
            one: Counter "t_one_total" by side: bool = |left| if left { "left" } else { "right" },
            /// By two,
            /// in two lines
            two: Histogram "t_two_seconds"
                by a: u8 = |_| "x", b: bool = |b| if b { "yes" } else { "no" },
        }
    }

    #[test]
    fn what_is_declared_is_what_is_rendered() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            Some::DESCRIBED.iter().for_each(super::Described::tell);
            ALL.plain.set(2.5);
            for left in [true, false, true] {
                ALL.one.of(left).increment(1);
            }
            for b in [false, true] {
                ALL.two.of((1, b)).record(0.5);
            }
        });
        let text = handle.render();
        for line in [
            "# HELP t_plain Plain",
            "t_plain 2.5",
            "t_one_total{side=\"left\"} 2",
            "t_one_total{side=\"right\"} 1",
            "# HELP t_two_seconds By two, in two lines",
            "t_two_seconds_count{a=\"x\",b=\"yes\"} 1",
            "t_two_seconds_count{a=\"x\",b=\"no\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        assert_eq!(Some::DESCRIBED[2].labels, ["a", "b"]);
        // One handle per value, however often it is asked for.
        assert_eq!(ALL.one.made.load().len(), 2);
        assert!(std::ptr::eq(ALL.one.of(true), ALL.one.of(true)));
    }
}
