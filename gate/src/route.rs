//! From method and path to a route. Pure; everything else is `unknown_route` or
//! `method_not_allowed`.

use domain::Reason;
use hyper::Method;

/// What a buyer's request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// `POST /v1/offers/{offer}/orders`.
    Buy(&'a str),
    /// `GET /v1/offers/{offer}`.
    Offer(&'a str),
    /// `GET /v1/orders/{id}`.
    Order(&'a str),
    /// `GET /v1/orders?idempotency_key=`.
    Orders,
    /// `GET /livez` and `/readyz` work on this listener too, for balancers.
    Live,
    /// See [`Route::Live`].
    Ready,
}

/// Labels of routes in metrics; the last one is for what is no route.
pub(crate) const LABELS: [&str; 6] = ["buy", "offer", "order", "orders", "probe", "none"];

/// The place of purchases in [`LABELS`].
pub(crate) const BUY: usize = 0;

/// The place of what is no route in [`LABELS`].
pub(crate) const NONE: usize = 5;

/// The place of a route in [`LABELS`].
pub(crate) fn label<E>(route: &Result<Route<'_>, E>) -> usize {
    match route {
        Ok(Route::Buy(_)) => BUY,
        Ok(Route::Offer(_)) => 1,
        Ok(Route::Order(_)) => 2,
        Ok(Route::Orders) => 3,
        Ok(Route::Live | Route::Ready) => 4,
        Err(_) => NONE,
    }
}

/// Finds the route; `Err` has the allowed methods where only the method is wrong.
pub(crate) fn find<'a>(
    method: &Method,
    path: &'a str,
) -> Result<Route<'a>, (Reason, &'static str)> {
    let (route, allowed) = by_path(path).ok_or((Reason::UnknownRoute, ""))?;
    let fits = match allowed {
        "POST" => method == Method::POST,
        _ => method == Method::GET || method == Method::HEAD,
    };
    if fits { Ok(route) } else { Err((Reason::MethodNotAllowed, allowed)) }
}

fn by_path(path: &str) -> Option<(Route<'_>, &'static str)> {
    match path {
        "/v1/orders" => return Some((Route::Orders, "GET, HEAD")),
        "/livez" => return Some((Route::Live, "GET, HEAD")),
        "/readyz" => return Some((Route::Ready, "GET, HEAD")),
        _ => {}
    }
    if let Some(rest) = path.strip_prefix("/v1/offers/") {
        return match rest.split_once('/') {
            None if !rest.is_empty() => Some((Route::Offer(rest), "GET, HEAD")),
            Some((offer, "orders")) if !offer.is_empty() => Some((Route::Buy(offer), "POST")),
            _ => None,
        };
    }
    let id = path.strip_prefix("/v1/orders/")?;
    (!id.is_empty() && !id.contains('/')).then_some((Route::Order(id), "GET, HEAD"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_exact() {
        assert_eq!(find(&Method::POST, "/v1/offers/a/orders"), Ok(Route::Buy("a")));
        assert_eq!(find(&Method::GET, "/v1/offers/a"), Ok(Route::Offer("a")));
        assert_eq!(find(&Method::GET, "/v1/orders/x"), Ok(Route::Order("x")));
        let wrong = find(&Method::GET, "/v1/offers/a/orders");
        assert_eq!(wrong, Err((Reason::MethodNotAllowed, "POST")));
        for path in ["/", "/v1/offers/", "/v1/offers//orders", "/v1/orders/", "/v1/orders/a/b"] {
            assert_eq!(find(&Method::GET, path), Err((Reason::UnknownRoute, "")), "{path}");
        }
    }
}
