//! Enums that databases keep as numbers and the API as names.

/// Says both for each case; the number is the discriminant.
macro_rules! numbered {
    ($($name:ident: $($case:ident $text:literal),*;)*) => {$(
        impl $name {
            /// All, in the order of their numbers.
            pub const ALL: &[$name] = &[$($name::$case),*];

            /// The inverse of `as i8`.
            pub fn from_number(n: i8) -> Option<$name> {
                $name::ALL.iter().copied().find(|s| *s as i8 == n)
            }

            /// The name in the API.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$case => $text,)*
                }
            }
        }
    )*};
}
pub(super) use numbered;
