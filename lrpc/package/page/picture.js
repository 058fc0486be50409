// Pictures in and out of canvases.

/** Read a file as a picture; throws an Error whose message says what is wrong with it. */
export async function open(file) {
  try {
    return await createImageBitmap(file);
  } catch {
    throw new Error(`${file.name} is no picture that this browser can read. Choose a PNG, JPEG, WebP, GIF or BMP file.`);
  }
}

/** Draw the centre of a picture as large as fits, scaled to the canvas; transparent pixels are laid on white. */
export function fit(canvas, picture, width, height) {
  canvas.width = width;
  canvas.height = height;
  const scale = Math.min(picture.width / width, picture.height / height);
  const [w, h] = [width * scale, height * scale];
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.fillStyle = "white";
  pen.fillRect(0, 0, width, height);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(picture, (picture.width - w) / 2, (picture.height - h) / 2, w, h, 0, 0, width, height);
}

/** The pixels of a canvas: red, green, blue, row by row. */
export function pixels(canvas) {
  const rgba = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let i = 0, j = 0; i < rgba.length; i += 4, j += 3) {
    rgb[j] = rgba[i];
    rgb[j + 1] = rgba[i + 1];
    rgb[j + 2] = rgba[i + 2];
  }
  return rgb;
}

/** Draw pixels. faint: let through what is below where a colour is close to white, which stands for no relevance. */
export function draw(canvas, rgb, width, height, faint = false) {
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  for (let i = 0, j = 0; j < rgb.length; i += 4, j += 3) {
    image.data[i] = rgb[j];
    image.data[i + 1] = rgb[j + 1];
    image.data[i + 2] = rgb[j + 2];
    image.data[i + 3] = faint ? 255 - Math.min(rgb[j], rgb[j + 1], rgb[j + 2]) : 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}
