package httpd

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"bundleup/vfs"
)

// cloudEvent is a receipt as CloudEvents 1.0 has it in structured mode.
type cloudEvent struct {
	SpecVersion string       `json:"specversion"`
	ID          string       `json:"id"`
	Source      string       `json:"source"`
	Type        string       `json:"type"`
	Subject     string       `json:"subject"`
	Time        time.Time    `json:"time"`
	ContentType string       `json:"datacontenttype"`
	Data        *vfs.Receipt `json:"data"`
}

// cloudEventType is the media type of structured mode (CloudEvents 1.0, HTTP
// binding, 3.2).
const cloudEventType = "application/cloudevents+json; charset=utf-8"

// newEvent tells of a verdict. Its ID is the upload's: an upload has one verdict.
func newEvent(source string, r *vfs.Receipt) ([]byte, error) {
	subject := r.Tenant + "/" + r.Name
	if r.StoredAs != "" {
		subject = r.Tenant + "/" + r.StoredAs
	}
	return json.Marshal(cloudEvent{
		SpecVersion: "1.0", ID: r.ID, Source: source, Type: "bundleup.upload." + string(r.Verdict),
		Subject: subject, Time: r.Finished, ContentType: "application/json", Data: r,
	})
}

// eventID reads the ID of a queued event, and when it happened.
func eventID(event []byte) (id string, at time.Time, err error) {
	var e struct {
		ID   string
		Time time.Time
	}
	if err := json.Unmarshal(event, &e); err != nil {
		return "", time.Time{}, err
	}
	if e.ID == "" || e.Time.IsZero() || strings.ContainsAny(e.ID, ".\r\n") {
		return "", time.Time{}, errors.New("an event without an ID or a time")
	}
	return e.ID, e.Time, nil
}

const (
	// secretPrefix is how Standard Webhooks writes a secret.
	secretPrefix = "whsec_"
	// maxSecrets bounds how many secrets sign at once: an old and a new one, and
	// one to spare.
	maxSecrets    = 3
	maxSecretFile = 4 << 10
)

// LoadWebhookSecrets reads a file with a secret a line, as Standard Webhooks has
// them: whsec_ and base64 of 24 to 64 bytes. With several lines, up to three, each
// signs: so a secret is replaced without a gap.
func LoadWebhookSecrets(file string) ([][]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("webhook secret: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSecretFile))
	if err != nil {
		return nil, fmt.Errorf("webhook secret: %w", err)
	}
	var secrets [][]byte
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		encoded, ok := bytes.CutPrefix(line, []byte(secretPrefix))
		secret, err := base64.StdEncoding.DecodeString(string(encoded))
		if !ok || err != nil || len(secret) < 24 || len(secret) > 64 {
			return nil, fmt.Errorf("webhook secret: %s: line %d is not %s and base64 of 24 to 64 bytes", file, len(secrets)+1, secretPrefix)
		}
		secrets = append(secrets, secret)
	}
	if len(secrets) == 0 || len(secrets) > maxSecrets {
		return nil, fmt.Errorf("webhook secret: %s: it has %d secrets, want 1 to %d", file, len(secrets), maxSecrets)
	}
	return secrets, nil
}

// sign is the header webhook-signature of Standard Webhooks: v1 and the base64 of
// HMAC-SHA256 over id.timestamp.body, one for each secret.
func sign(secrets [][]byte, id string, at time.Time, body []byte) string {
	var list []string
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
		mac.Write(body)
		list = append(list, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(list, " ")
}
