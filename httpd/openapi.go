package httpd

import (
	_ "embed"
	"net/http"
)

// openapi describes the paths (OpenAPI 3.1).
//
//go:embed openapi.json
var openapi []byte

func serveOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(openapi) // the peer has gone
}
