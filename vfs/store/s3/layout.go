package s3

import "bundleup/vfs/store"

// The keys below the prefix. A claim and a pointer bear a dot before their last
// name: no directory of sealed objects begins with one, so that on gateways over
// a file system no key is in the way of another, and one listing with the prefix
// "names/DIR/." yields exactly what is in DIR.
const (
	bundlesDir = "bundles/"
	namesDir   = "names/"
	recordsDir = "records/"
	uploadsDir = "uploads/"
	pendingDir = "pending/"
	probeDir   = "probe/"

	stateName = "state"
	dataName  = "data"
	tailName  = "tail-"
	asideName = "aside-"
)

// maxObjectKey is S3's limit for a key, in bytes of UTF-8.
const maxObjectKey = 1024

func bundleKey(k store.Key) string { return bundlesDir + string(k) }

func nameKey(k store.Key) string { return namesDir + dotted(k) }

// namesIn is the prefix of the claims in a directory.
func namesIn(dir store.Key) string { return namesDir + string(dir.Join(".")) }

func recordKey(k store.Key, doc string) string { return recordsDir + string(k.Join(doc)) }

func uploadKey(id store.ID, what string) string { return uploadsDir + string(id) + "/" + what }

func pendingKey(name store.Key, id store.ID) string {
	return pendingDir + dotted(name) + "/" + string(id)
}

func dotted(k store.Key) string { return string(k.Dir().Join("." + k.Base())) }
