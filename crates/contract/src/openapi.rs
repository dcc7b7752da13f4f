//! The tables as an OpenAPI 3.1 document.

use std::collections::{BTreeMap, BTreeSet};

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathItem, PathsBuilder,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ComponentsBuilder, ObjectBuilder, Ref, Schema, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ContactBuilder, Content, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder,
    RefOr, Required, ServerBuilder,
};

use crate::problem::ProblemBody;
use crate::reason::Reason;
use crate::routes::{self, Answers, Buyers, Field, NAME, Operators, Shape, Spec, Who};

/// The document of both listeners.
pub fn document() -> OpenApi {
    let buyers = Buyers::ALL.iter().map(|(_, spec)| (BUYERS, spec));
    // Both listeners have the probes; once is enough.
    let operators = Operators::ALL
        .iter()
        .filter(|(route, _)| !matches!(route, Operators::Live | Operators::Ready));
    let all: Vec<(&str, &Spec)> =
        buyers.chain(operators.map(|(_, spec)| (OPERATORS, spec))).collect();
    let mut paths = PathsBuilder::new();
    let mut schemas = Vec::new();
    (Shape::of::<ProblemBody<'static>>().collect)(&mut schemas);
    for (tag, spec) in all {
        let operation = operation(tag, spec, &mut schemas);
        paths = paths.path(spec.path, PathItem::new(method(spec.method), operation));
    }
    let schemas: BTreeMap<String, RefOr<Schema>> = schemas.into_iter().collect();
    let mut components = ComponentsBuilder::new();
    for (name, schema) in schemas {
        components = components.schema(name, schema);
    }
    let components = components
        .security_scheme(BUYERS, bearer("A buyer's token: `sub` is the buyer, `tenant` the shop."))
        .security_scheme(OPERATORS, bearer("`admin.token`, or a token with a `role`."));
    let tag =
        |name: &str, about: &str| TagBuilder::new().name(name).description(Some(about)).build();
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Sluicegate")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(ABOUT))
                .contact(Some(ContactBuilder::new().name(Some("The maintainers")).build()))
                .license(Some(
                    LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build(),
                ))
                .build(),
        )
        .servers(Some([
            ServerBuilder::new()
                .url("http://127.0.0.1:8080")
                .description(Some("gate.listen: what buyers call"))
                .build(),
            ServerBuilder::new()
                .url("http://127.0.0.1:9090")
                .description(Some("admin.listen: what operators call"))
                .build(),
        ]))
        .tags(Some([
            tag(BUYERS, "Calls of the buyers' listener (`gate.listen`)."),
            tag(OPERATORS, "Calls of the operators' listener (`admin.listen`)."),
        ]))
        .paths(paths)
        .components(Some(components.build()))
        .build()
}

/// The document as JSON text with a line's end.
pub fn json() -> String {
    document().to_pretty_json().unwrap_or_default() + "\n"
}

const BUYERS: &str = "buyers";
const OPERATORS: &str = "operators";

const ABOUT: &str = "The edge gate of flash sales. Everything is JSON in snake_case, times are RFC \
    3339 UTC with milliseconds, money is in minor units. Unknown fields of a request are refused, \
    so that a typo never sells the wrong thing; new fields of an answer may come at any time. What \
    never became a request (an unreadable head, silence) may be answered by a bare 400, 408 or \
    431, or by closing.";

fn method(name: &str) -> HttpMethod {
    match name {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

fn bearer(about: &str) -> SecurityScheme {
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT");
    SecurityScheme::Http(scheme.description(Some(about)).build())
}

fn operation(
    tag: &str,
    spec: &Spec,
    schemas: &mut Vec<(String, RefOr<Schema>)>,
) -> OperationBuilder {
    let about = spec.about.trim();
    let (summary, more) = about.split_once('\n').unwrap_or((about, about));
    let lines: Vec<&str> = more.lines().map(str::trim).collect();
    let id = format!("{tag}{}", spec.id);
    let mut out = OperationBuilder::new()
        .tag(tag)
        .operation_id(Some(id))
        .summary(Some(summary.trim()))
        .description(Some(lines.join(" ").trim()));
    for name in parameters(spec.path) {
        out = out.parameter(parameter(ParameterIn::Path, &in_path(name)));
    }
    for field in spec.query {
        out = out.parameter(parameter(ParameterIn::Query, field));
    }
    for field in spec.headers {
        out = out.parameter(parameter(ParameterIn::Header, field));
    }
    if let Some(body) = spec.body {
        if let routes::Content::Json(shape) = body.content {
            (shape.collect)(schemas);
        }
        let (media, content) = content_of(body.content);
        let required = if body.is_required { Required::True } else { Required::False };
        let about = format!("At most {} bytes.", body.most);
        let body = RequestBodyBuilder::new().content(media, content);
        out =
            out.request_body(Some(body.required(Some(required)).description(Some(about)).build()));
    }
    for answer in spec.answers {
        if let routes::Content::Json(shape) = answer.content {
            (shape.collect)(schemas);
        }
        out = out.response(answer.status.to_string(), answered(answer));
    }
    for (status, reasons) in by_status(&spec.all_refuses()) {
        out = out.response(status.to_string(), refused(status, &reasons));
    }
    match spec.who {
        Who::Probe | Who::Anyone | Who::Signed => out,
        Who::Buyer => out.security(SecurityRequirement::new(BUYERS, Vec::<String>::new())),
        Who::Operator | Who::Deployment => {
            out.security(SecurityRequirement::new(OPERATORS, Vec::<String>::new()))
        }
    }
}

/// The names of a template's parameters.
fn parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn in_path(name: &str) -> Field {
    let (name, about, pattern) = match name {
        "offer" => ("offer", "An offer's name.", NAME),
        "campaign" => ("campaign", "A campaign's name.", NAME),
        "cell" => (
            "cell",
            "A cell's name: the offer's, `.` and the bucket.",
            "^[a-z0-9-]{1,64}\\.([0-9]|[1-5][0-9]|6[0-3])$",
        ),
        "order" => (
            "order",
            "An order's id.",
            "^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
        ),
        "buyer" => ("buyer", "The `sub` of a buyer's token, percent-encoded.", ""),
        "provider" => ("provider", "A payment provider's name.", "^[a-z0-9-]{1,32}$"),
        "system" => ("system", "The name of a warehouse's system.", "^[a-z0-9-]{1,32}$"),
        _ => ("id", "The id of a task.", ""),
    };
    Field { name, about, pattern, is_required: true }
}

fn parameter(place: ParameterIn, field: &Field) -> Parameter {
    let mut schema = ObjectBuilder::new().schema_type(Type::String);
    if !field.pattern.is_empty() {
        schema = schema.pattern(Some(field.pattern));
    }
    let required = if field.is_required { Required::True } else { Required::False };
    ParameterBuilder::new()
        .name(field.name)
        .parameter_in(place)
        .required(required)
        .description(Some(field.about))
        .schema(Some(schema))
        .build()
}

/// A body's media type, and what it is.
fn content_of(content: routes::Content) -> (&'static str, Content) {
    match content {
        routes::Content::Json(shape) => {
            let schema = Ref::from_schema_name((shape.name)());
            ("application/json", ContentBuilder::new().schema(Some(schema)).build())
        }
        routes::Content::Text(media) => {
            let kind = if media == "application/json" { Type::Object } else { Type::String };
            let schema = ObjectBuilder::new().schema_type(kind);
            let media = media.split(';').next().unwrap_or(media);
            (media, ContentBuilder::new().schema(Some(schema)).build())
        }
    }
}

fn answered(answer: &Answers) -> Response {
    let out = ResponseBuilder::new().description(answer.when);
    let (media, content) = content_of(answer.content);
    let out = out.content(media, content);
    match answer.status {
        202 => out.header("Location", header("Where to ask what became of it.")).build(),
        _ => out.build(),
    }
}

fn header(about: &str) -> utoipa::openapi::Header {
    let schema = ObjectBuilder::new().schema_type(Type::String);
    HeaderBuilder::new().schema(schema).description(Some(about)).build()
}

fn by_status(reasons: &[Reason]) -> BTreeMap<u16, BTreeSet<Reason>> {
    let mut out: BTreeMap<u16, BTreeSet<Reason>> = BTreeMap::new();
    for reason in reasons {
        out.entry(reason.status()).or_default().insert(*reason);
    }
    out
}

fn problem(about: String) -> ResponseBuilder {
    let (_, content) = content_of(routes::Content::Json(Shape::of::<ProblemBody<'static>>()));
    ResponseBuilder::new().description(about).content("application/problem+json", content)
}

fn refused(status: u16, reasons: &BTreeSet<Reason>) -> Response {
    let said = |r: &Reason| format!("`{}`: {}", r.as_str(), r.title());
    let about: Vec<String> = reasons.iter().map(said).collect();
    let out = problem(about.join(" "));
    match status {
        401 => out.header("WWW-Authenticate", header("`Bearer`")).build(),
        429 | 503 => out.header("Retry-After", header("Seconds.")).build(),
        _ => out.build(),
    }
}
