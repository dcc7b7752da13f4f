//! The routes of both listeners: one table each, from which a service's match, `Allow`, metric
//! labels and the OpenAPI document come.
//!
//! A path is matched by its segments, which are not decoded: no name needs an escape.

mod buyers;
mod operators;

pub use buyers::Buyers;
pub use operators::Operators;

use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::reason::Reason;

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Anybody, also while the process starts or stops, and without being counted in limits.
    Probe,
    /// Anybody; a buyer's token says whose tenant is meant.
    Anyone,
    /// Who has a buyer's token.
    Buyer,
    /// Who signs with a secret of the provider, or the warehouse, that the path names. Nothing is
    /// counted in limits: providers send the oldest event first, and again until it is taken.
    Signed,
    /// Who has an operator's token; a viewer may only read.
    Operator,
    /// An operator of the default tenant: it is about the whole deployment.
    Deployment,
}

/// A type's name and schema.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Its name among the document's schemas.
    pub name: fn() -> std::borrow::Cow<'static, str>,
    /// Adds its schema and those that it needs.
    pub collect: fn(&mut Vec<(String, RefOr<Schema>)>),
}

impl Shape {
    /// Of a type.
    pub const fn of<T: ToSchema>() -> Self {
        Self {
            name: T::name,
            collect: |all| {
                all.push((T::name().into_owned(), <T as PartialSchema>::schema()));
                T::schemas(all);
            },
        }
    }
}

/// The body that a route takes.
#[derive(Clone, Copy)]
pub struct Takes {
    /// The most bytes.
    pub most: usize,
    /// True when it may not be left out.
    pub is_required: bool,
    /// What it is.
    pub content: Content,
}

/// What a body is.
#[derive(Clone, Copy)]
pub enum Content {
    /// JSON of this type.
    Json(Shape),
    /// Text of this media type.
    Text(&'static str),
}

impl Content {
    /// Its media type.
    pub const fn media(&self) -> &'static str {
        match self {
            Content::Json(_) => "application/json",
            Content::Text(media) => media,
        }
    }
}

/// An answer that is no problem.
#[derive(Clone, Copy)]
pub struct Answers {
    /// The HTTP status.
    pub status: u16,
    /// When it is given.
    pub when: &'static str,
    /// Its body.
    pub content: Content,
}

impl Answers {
    /// JSON.
    pub const fn json<T: ToSchema>(status: u16, when: &'static str) -> Self {
        Self { status, when, content: Content::Json(Shape::of::<T>()) }
    }
    /// Text.
    pub const fn text(status: u16, media: &'static str, when: &'static str) -> Self {
        Self { status, when, content: Content::Text(media) }
    }
}

/// A field of a query or a header.
#[derive(Clone, Copy)]
pub struct Field {
    /// As it is written.
    pub name: &'static str,
    /// What it says.
    pub about: &'static str,
    /// A regular expression for its values.
    pub pattern: &'static str,
    /// True when it may not be left out.
    pub is_required: bool,
}

impl Field {
    /// One that may be left out.
    const fn optional(name: &'static str, about: &'static str, pattern: &'static str) -> Self {
        Self { name, about, pattern, is_required: false }
    }
}

/// Names of offers and campaigns.
pub(crate) const NAME: &str = "^[a-z0-9-]{1,64}$";

/// What a probe answers in.
const TEXT: &str = "text/plain; charset=utf-8";
/// Both listeners tell whether the process lives, and whether requests are served now.
const LIVES: &[Answers] = &[Answers::text(200, TEXT, "It does.")];
const SERVES: &[Answers] = &[Answers::text(200, TEXT, "They are.")];
const SERVES_NOT: &[Reason] = &[Reason::Starting, Reason::Draining];

/// All about one route.
#[derive(Clone, Copy)]
pub struct Spec {
    /// Its name in the document.
    pub id: &'static str,
    /// `GET` is also `HEAD`.
    pub method: &'static str,
    /// With `{parameters}`.
    pub path: &'static str,
    /// The first line is a summary.
    pub about: &'static str,
    /// In metrics.
    pub label: &'static str,
    /// Who may call it.
    pub who: Who,
    /// Fields of its query; any other is refused.
    pub query: &'static [Field],
    /// Headers that it reads, apart from those of every request.
    pub headers: &'static [Field],
    /// Its body; `None`: any body is refused.
    pub body: Option<Takes>,
    /// What it answers.
    pub answers: &'static [Answers],
    /// What it refuses, apart from what every route of its kind does.
    pub refuses: &'static [Reason],
}

impl Spec {
    /// What a table leaves out.
    const BLANK: Spec = Spec {
        id: "",
        method: "",
        path: "",
        about: "",
        label: "",
        who: Who::Anyone,
        query: &[],
        headers: &[],
        body: None,
        answers: &[],
        refuses: &[],
    };

    /// True for a request's method.
    pub fn has_method(&self, method: &str) -> bool {
        method == self.method || (method == "HEAD" && self.method == "GET")
    }

    /// Everything that it may refuse, in the order of the table of reasons.
    pub fn all_refuses(&self) -> Vec<Reason> {
        let kinds = match self.who {
            Who::Probe => &[Reason::Malformed, Reason::HeadersTooLarge][..],
            Who::Anyone => OF_ALL,
            Who::Buyer => &[OF_ALL, &[Reason::Unauthenticated]].concat(),
            Who::Signed => OF_SIGNED,
            Who::Operator | Who::Deployment => OF_OPERATORS,
        };
        let with_body: &[Reason] = match (self.body, self.who) {
            (_, Who::Signed) | (None, Who::Probe | Who::Anyone | Who::Buyer) => &[],
            (None, Who::Operator | Who::Deployment) | (Some(_), _) => OF_BODIES,
        };
        let mut all = [kinds, with_body, self.refuses].concat();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// What every call of buyers may meet.
const OF_ALL: &[Reason] = &[
    Reason::Malformed,
    Reason::HeadersTooLarge,
    Reason::RateLimited,
    Reason::Internal,
    Reason::Overloaded,
    Reason::DependencyDown,
    Reason::Starting,
    Reason::Draining,
];

/// What every callback may meet. Of what is authentic nothing is refused.
const OF_SIGNED: &[Reason] = &[
    Reason::Malformed,
    Reason::HeadersTooLarge,
    Reason::Unauthenticated,
    Reason::UnknownProvider,
    Reason::RequestTimeout,
    Reason::BodyTooLarge,
    Reason::Internal,
    Reason::Overloaded,
    Reason::DependencyDown,
    Reason::Starting,
    Reason::Draining,
];

/// What every call of operators may meet.
const OF_OPERATORS: &[Reason] = &[
    Reason::Malformed,
    Reason::HeadersTooLarge,
    Reason::Unauthenticated,
    Reason::Forbidden,
    Reason::Internal,
    Reason::DependencyDown,
];

/// What every call with a body may meet.
const OF_BODIES: &[Reason] =
    &[Reason::BodyTooLarge, Reason::UnsupportedMediaType, Reason::RequestTimeout];

/// The most parameters of a path.
const PARAMETERS: usize = 2;

/// What a path says in place of its parameters, in order; empty where there is none.
pub type Parameters<'a> = [&'a str; PARAMETERS];

/// What a method and a path lead to.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a, R> {
    /// This route.
    Route(R, Parameters<'a>),
    /// Only routes of other methods: these, as `Allow` has them.
    Methods(String),
    /// None.
    Nothing,
}

impl<R: Copy> Found<'_, R> {
    /// The route, if there is one.
    pub fn route(&self) -> Option<R> {
        match self {
            Found::Route(route, _) => Some(*route),
            Found::Methods(_) | Found::Nothing => None,
        }
    }
}

/// Looks a route up; the first that fits.
fn find<'a, R: Copy>(all: &'static [(R, Spec)], method: &str, path: &'a str) -> Found<'a, R> {
    let mut methods: Vec<&str> = Vec::new();
    for (route, spec) in all {
        let Some(parameters) = matched(spec.path, path) else { continue };
        if spec.has_method(method) {
            return Found::Route(*route, parameters);
        }
        methods.push(spec.method);
        if spec.method == "GET" {
            methods.push("HEAD");
        }
    }
    methods.dedup();
    if methods.is_empty() { Found::Nothing } else { Found::Methods(methods.join(", ")) }
}

/// What a path has in place of a template's parameters; `None` when it is another path. No
/// parameter is empty.
fn matched<'a>(template: &str, path: &'a str) -> Option<Parameters<'a>> {
    let (mut parameters, mut next) = ([""; PARAMETERS], 0);
    let mut segments = path.split('/');
    for part in template.split('/') {
        let segment = segments.next()?;
        if part.starts_with('{') {
            if segment.is_empty() {
                return None;
            }
            parameters[next] = segment;
            next += 1;
        } else if segment != part {
            return None;
        }
    }
    segments.next().is_none().then_some(parameters)
}

macro_rules! routes {
    (
        $(#[doc = $of:literal])+
        $name:ident {$(
            $(#[doc = $about:literal])+
            $route:ident = $method:ident $path:literal { $($fields:tt)* }
        )+}
    ) => {
        $(#[doc = $of])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {$(
            $(#[doc = $about])+
            $route,
        )+}

        impl $name {
            /// All of them with what is said about them.
            pub const ALL: &'static [($name, $crate::routes::Spec)] = &[$((
                $name::$route,
                $crate::routes::Spec {
                    id: stringify!($route),
                    method: stringify!($method),
                    path: $path,
                    about: concat!($($about, "\n"),+),
                    $($fields)*
                    ..$crate::routes::Spec::BLANK
                },
            ),)+];

            /// What is said about it.
            pub fn spec(self) -> &'static $crate::routes::Spec {
                &Self::ALL[self as usize].1
            }

            /// The route of a method and a path.
            pub fn find<'a>(method: &str, path: &'a str) -> $crate::routes::Found<'a, Self> {
                $crate::routes::find(Self::ALL, method, path)
            }
        }
    };
}
pub(crate) use routes;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_exact() {
        let buyers = |method, path| Buyers::find(method, path);
        assert_eq!(buyers("POST", "/v1/offers/a/orders"), Found::Route(Buyers::Buy, ["a", ""]));
        assert_eq!(buyers("GET", "/v1/offers/a"), Found::Route(Buyers::Offer, ["a", ""]));
        assert_eq!(buyers("HEAD", "/v1/orders/x"), Found::Route(Buyers::Order, ["x", ""]));
        assert_eq!(buyers("GET", "/v1/orders"), Found::Route(Buyers::OrderOfKey, ["", ""]));
        assert_eq!(buyers("GET", "/v1/offers/a/orders"), Found::Methods("POST".into()));
        assert_eq!(buyers("get", "/v1/offers/a"), Found::Methods("GET, HEAD".into()));
        let offer = Operators::find("DELETE", "/admin/offers/a");
        assert_eq!(offer, Found::Methods("GET, HEAD, PUT".into()));
        for path in [
            "/",
            "",
            "*",
            "v1/orders",
            "/v1/offers/",
            "/v1/offers//orders",
            "/v1/orders/",
            "/v1/orders/a/b",
            "/v1/orders/a/",
            "//v1/orders",
            "/v1/orders?a",
            "/v1/{offer}",
        ] {
            assert_eq!(buyers("GET", path), Found::Nothing, "{path}");
            assert_eq!(Operators::find("GET", path), Found::Nothing, "{path}");
        }
    }

    /// What the macro cannot see.
    #[test]
    fn tables_are_whole() {
        let all = Buyers::ALL.iter().map(|(r, s)| (*r as usize, s));
        let operators = Operators::ALL.iter().map(|(r, s)| (*r as usize, s));
        for (n, (place, spec)) in all.enumerate().chain(operators.enumerate()) {
            assert_eq!(n, place, "{}", spec.id);
            assert!(!spec.label.is_empty() && !spec.answers.is_empty(), "{}", spec.id);
            assert!(spec.path.matches('{').count() <= PARAMETERS, "{}", spec.id);
            assert!(spec.method == "GET" || spec.who != Who::Probe, "{}", spec.id);
        }
    }
}
