package httpd

// routes are the paths that need a login; openapi.json describes them, and a test
// holds the two against each other. HEAD is what net/http makes of GET.
var routes = map[string]handler{
	"PUT /bundles/{name...}":    transfer(put),
	"POST /bundles":             transfer(form),
	"POST /bundles/{$}":         transfer(form),
	"GET /bundles/{name...}":    bundles,
	"DELETE /bundles/{name...}": remove,
	"GET /tenants":              tenants,
	"GET /inside/{name...}":     contents,
	"GET /receipts/{name...}":   receipts,

	"GET /search/{name...}":  transfer(search),
	"GET /about/{name...}":   about,
	"GET /biggest/{name...}": biggest,
	"GET /arrivals":          arrivals,

	"POST /tus/{$}":                tus(tusCreate),
	"HEAD /tus/{size}/{name...}":   tus(tusHead),
	"PATCH /tus/{size}/{name...}":  tus(transfer(tusPatch)),
	"DELETE /tus/{size}/{name...}": tus(tusDelete),
}

// pageRoutes are those of the page: who has no session is asked to log in.
var pageRoutes = map[string]handler{
	"GET /{$}":          home,
	"GET /ui/{name...}": browse,
}
