#pragma once
#include <string>

namespace shop {
/// A thing with an area.
class Shape {
public:
  virtual ~Shape() = default;
  virtual int area() const = 0;
  virtual std::string describe() const;
};

class Circle : public Shape {
public:
  explicit Circle(int radius) : radius_(radius) {}
  int area() const override;

private:
  int radius_;
};

class Square : public Shape {
public:
  explicit Square(int side) : side_(side) {}
  int area() const override;
  std::string describe() const override;

private:
  int side_;
};
}  // namespace shop
