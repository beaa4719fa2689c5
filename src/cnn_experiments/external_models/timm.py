"""Networks of timm, https://huggingface.co/docs/timm."""

from torch import nn

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.errors import ConfigError, suggest
from cnn_experiments.external_models.channels import COLOR_CHANNELS, check_repeat_channels, repeat_gray_channel
from cnn_experiments.external_models.weights import are_loaded, loading_weights


def timm_network(name: str, in_channels: int, num_classes: int, repeat_channels: bool, pretrained: bool) -> nn.Module:
    """Return a network of timm.

    Args:
        name: one of `timm.list_models()`; a tag may choose the weights: `convnext_atto.d2_in1k`.
        in_channels: channels of the images.
        num_classes: number of logits per image.
        repeat_channels: whether the channel of gray images is repeated; otherwise the first layer takes one.
        pretrained: whether it has weights that others have trained; its last layer is a new one.

    Raises:
        ArgumentError: there is no such network, it has no weights, or there is nothing to repeat.
        ConfigError: timm is not installed.
        RunFailedError: the weights could not be downloaded.
    """
    try:
        import timm
    except ModuleNotFoundError as error:
        raise ConfigError("model", "timm", problem='needs timm: pip install "cnn_experiments[timm]"') from error
    with_weights = timm.list_pretrained()
    names = [*timm.list_models(), *with_weights]
    if name not in names:
        raise ArgumentError("name", name, "must be a network of timm", suggest(str(name), names))
    if pretrained and not timm.is_model_pretrained(name):
        raise ArgumentError("pretrained", pretrained, f"must be false: timm has no weights of {name}")
    check_repeat_channels(repeat_channels, in_channels)
    channels = COLOR_CHANNELS if repeat_channels else in_channels
    if are_loaded(pretrained):
        with loading_weights(name, "timm"):
            network = timm.create_model(name, pretrained=True, in_chans=channels, num_classes=num_classes)
    else:
        network = timm.create_model(name, in_chans=channels, num_classes=num_classes)
    if channels != in_channels:
        repeat_gray_channel(network)
    return network
