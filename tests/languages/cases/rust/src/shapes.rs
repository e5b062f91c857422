use crate::format::render;

/// A thing with an area.
pub trait Shape {
    fn name(&self) -> String;

    fn area(&self) -> f64;

    fn describe(&self) -> String {
        format!("{}: {}", self.name(), render(self.area(), 0))
    }
}

macro_rules! shape {
    ($name:ident, $field:ident, $area:expr) => {
        pub struct $name {
            pub $field: f64,
        }

        impl $name {
            pub fn scaled(&self, factor: f64) -> f64 {
                factor * $area(self.$field)
            }
        }
    };
}

shape!(Circle, radius, |radius: f64| 3.0 * radius * radius);
shape!(Square, side, squared);

fn squared(side: f64) -> f64 {
    side * side
}

impl Shape for Circle {
    fn name(&self) -> String {
        "circle".into()
    }

    fn area(&self) -> f64 {
        self.scaled(1.0)
    }
}

impl Shape for Square {
    fn name(&self) -> String {
        "square".into()
    }

    fn area(&self) -> f64 {
        squared(self.side)
    }

    fn describe(&self) -> String {
        format!("{}, and straight", self.name())
    }
}
