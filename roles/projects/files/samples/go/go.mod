module example.org/go-cli

go 1.24
