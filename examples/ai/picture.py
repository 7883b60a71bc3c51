"""A diffusers pipeline with random weights: two steps of denoising give a picture of the right size."""

import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

torch.manual_seed(0)
unet = UNet2DModel(
    sample_size=32,
    in_channels=3,
    out_channels=3,
    layers_per_block=1,
    block_out_channels=(32, 64),
    norm_num_groups=8,
    down_block_types=("DownBlock2D", "AttnDownBlock2D"),
    up_block_types=("AttnUpBlock2D", "UpBlock2D"),
)
pipeline = DDPMPipeline(unet=unet, scheduler=DDPMScheduler(num_train_timesteps=100))
pipeline.set_progress_bar_config(disable=True)
image = pipeline(batch_size=1, num_inference_steps=2).images[0]
assert image.size == (32, 32), image.size
print(f"a picture of {image.size[0]}x{image.size[1]}, mode {image.mode}")
