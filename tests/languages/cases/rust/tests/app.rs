use shop::app::{build, report};
use shop::{built::BUILT_SHAPES, rendered, Shape, Square};

#[test]
fn reports() {
    assert_eq!(report(&build(&[2.0, 3.0])), "9!");
    assert_eq!(BUILT_SHAPES, 8);
}

#[test]
fn squares() {
    let square = Square { side: 2.0 };
    assert_eq!(square.describe(), "square, and straight");
    assert_eq!(rendered(square.area(), 0), "4");
}
