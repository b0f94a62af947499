// The page's script: no library, no build step. Each part looks for its place in the
// page and does nothing where there is none.
import { uploads } from "./upload.js";
import { arrivals, biggest, copying, search, viewer } from "./look.js";

uploads();
viewer();
search();
biggest();
arrivals();
copying();
